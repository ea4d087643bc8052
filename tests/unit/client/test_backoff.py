"""Waiting before the next try."""

from cybercorp.client.backoff import CAP_S, Backoff


def _highest(low: float, high: float) -> float:
    return high


def test_the_bound_doubles_up_to_the_cap() -> None:
    """Full jitter draws from 0 to 0.5, 1, 2 … 30 seconds."""
    backoff = Backoff(draw=_highest)
    assert [backoff.failed() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_draw_starts_at_zero() -> None:
    """Full jitter: a thousand clients spread over the whole span."""
    assert Backoff(draw=lambda low, high: low).failed() == 0


def test_a_connection_that_held_starts_anew() -> None:
    """A cut after a long time is retried at once; one that is cut right away goes on backing off."""
    backoff = Backoff(draw=_highest)
    for _ in range(5):
        backoff.failed(lasted_s=0.1)
    assert backoff.failed(lasted_s=0.1) == 16
    assert backoff.failed(lasted_s=60) == 0.5


def test_a_connection_of_use_starts_anew() -> None:
    """An agent whose records were acknowledged comes back at once, however short the connection was."""
    backoff = Backoff(draw=_highest)
    for _ in range(5):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_what_is_hopeless_is_tried_slowly() -> None:
    """A revoked token is not asked about every second."""
    assert Backoff(draw=lambda low, high: low).failed(hopeless=True) == CAP_S / 2


def test_a_million_failures_do_not_overflow() -> None:
    """A server that is away for years still gets a try every half minute."""
    backoff = Backoff(draw=_highest)
    assert {backoff.failed() for _ in range(5000)} <= {0.5, 1, 2, 4, 8, 16, 30}
