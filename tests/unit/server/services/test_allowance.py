"""A burst passes, a flood does not."""

from cybercorp.server.services.allowance import Allowance


def test_a_burst_then_a_trickle() -> None:
    """The capacity at once; then as many as time gives; never more than the capacity after a rest."""
    allowance = Allowance(10, 0.5)
    assert [allowance.take(100.0) for _ in range(11)] == [*[True] * 10, False]
    assert not allowance.take(101.0)
    assert allowance.take(102.0)
    assert not allowance.take(102.0)
    assert sum(allowance.take(10_000.0) for _ in range(100)) == 10
