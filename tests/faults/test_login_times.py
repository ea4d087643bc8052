"""Known and unknown users take the same time (F20), by the median and by the ranks of all."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.attacks.test_user_enumeration import WORDS, refused
from tests.faults.ranks import mann_whitney
from tests.integration.serving import ServerThread

MOST_S, LEAST_P = 0.002, 0.01
TRIES = 3  # other tests on the same cores add to the noise, and more rounds take it away; a difference of ours stays


def test_ranks_by_hand() -> None:
    """U = 4.5 of a mean of 12.5; the spread, with one tie, √(25/12 · (11 − 6/90)) = 4.773; z = 7.5/4.773 = 1.571."""
    first, second = [1.1, 2.2, 3.3, 4.4, 5.5], [1.1, 6.6, 7.7, 8.8, 9.9]
    assert mann_whitney(first, second) == pytest.approx(0.1161, abs=0.0002)
    assert mann_whitney(first, first) == 1.0
    assert mann_whitney([1.0] * 30, [1.0] * 30) == 1.0


def test_ranks_find_a_planted_difference_and_no_other() -> None:
    """Half a millisecond of forty shows among a thousand; where there is none, one in a hundred says so."""
    chance = random.Random(20)
    drawn = [[chance.lognormvariate(-3.2, 0.05) for _ in range(1000)] for _ in range(200)]
    false_alarms = sum(mann_whitney(a, b) <= LEAST_P for a, b in zip(drawn[::2], drawn[1::2], strict=True))
    assert false_alarms <= 5
    assert all(
        mann_whitney(a, [one + 0.0005 for one in b]) <= LEAST_P for a, b in zip(drawn[:10], drawn[10:], strict=False)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    """Hashing is as cheap as can be, so that it hides nothing else."""
    with ServerThread(tmp_path, password_memory_kib=19_456) as running:
        running.http.post("/api/v1/users", json={"name": "ada", "password": WORDS})
        yield running


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_known_and_unknown_take_the_same_time(server: ServerThread, times: Callable[[int, int], int]) -> None:
    """By turns, in random order: the medians differ by at most 2 ms, and by their ranks nobody tells them apart."""
    took: dict[str, list[float]] = {"ada": [], "nobody": []}
    said = []
    for _ in range(TRIES):
        measure(server, times(120, 1000), took)
        difference = statistics.median(took["ada"]) - statistics.median(took["nobody"])
        p = mann_whitney(took["ada"], took["nobody"])
        said.append(f"{len(took['ada'])} each: medians {1000 * difference:+.2f} ms apart, p = {p:.3f}")
        noise_s = times(1, 0) * 3 * sum(spread(values) for values in took.values())
        if abs(difference) <= MOST_S + noise_s and p > LEAST_P:
            print(said)
            return
    raise AssertionError(said)


def spread(values: list[float]) -> float:
    """The standard error of their median: with the quick profile other tests add so much to it."""
    low, _, high = statistics.quantiles(values, n=4)
    return 0.93 * (high - low) / math.sqrt(len(values))


def measure(server: ServerThread, rounds: int, took: dict[str, list[float]]) -> None:
    """So many log-ins of each, by turns, added to the seconds that others took."""
    order = [name for name in took for _ in range(rounds)]
    random.Random(1).shuffle(order)
    with httpx.Client(base_url=server.url) as http:
        for name in order:
            seconds, answer = refused(server, http, name)
            assert answer.status_code == 401
            took[name].append(seconds)
