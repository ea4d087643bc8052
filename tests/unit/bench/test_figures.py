"""Delays are counted to 2.2 %, and those of several processes are one distribution."""

import random

import pytest

from cybercorp.bench.figures import Delays, Figures


def test_quantiles_are_near_the_true_ones() -> None:
    """Never below the true value, and at most a step above."""
    chance = random.Random(1)
    values = sorted(chance.lognormvariate(-3, 1) for _ in range(5_000))
    delays = Delays()
    for value in values:
        delays.add(value)
    for share in (0.01, 0.5, 0.99):
        true = values[max(0, round(share * len(values)) - 1)]
        found = delays.quantile(share)
        assert found is not None
        assert true <= found <= true * 1.023
    assert delays.quantile(1.0) == values[-1]


def test_two_processes_are_one_distribution() -> None:
    """Merged is the same as counted together; nothing is lost of failures and counts."""
    left, right, both = (
        Figures(sent=2, acknowledged=1, rows={0: 1}),
        Figures(sent=3, failures=["x"], rows={1: 0}),
        Delays(),
    )
    for number, figures in enumerate([left, right] * 50):
        figures.acknowledgement.add(number / 100)
        both.add(number / 100)
    left.merge(right)
    assert (left.sent, left.acknowledged, left.failures) == (5, 1, ["x"])
    assert left.acknowledgement == both
    assert left.rows == {0: 1, 1: 0}


def test_nothing_has_no_quantile() -> None:
    """No delay, no figure."""
    assert Delays().quantile(0.5) is None
    assert len(Delays()) == 0


@pytest.mark.parametrize("delay", [0.0, -1.0, 1e-9])
def test_the_shortest_delays_count(delay: float) -> None:
    """A clock may stand still between two looks."""
    delays = Delays()
    delays.add(delay)
    assert len(delays) == 1
