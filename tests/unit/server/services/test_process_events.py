"""Starts and exits as events: in order, each with what is known of it."""

from cybercorp.protocol.processes import ProcessChanges, ProcessEventKind, ProcessExit, ProcessStart
from cybercorp.server.services.process_events import events_of

STARTED, EXITED = ProcessEventKind.STARTED, ProcessEventKind.EXITED


def test_a_life() -> None:
    """The start is where it was, the exit where it was noticed; the exit knows the command of its start."""
    told = [
        (10_000, ProcessChanges(started=[ProcessStart(7, 4_000, 1, "sh", "sh -c job", "app")])),
        (20_000, ProcessChanges(exited=[ProcessExit(7, 4_000, 15_000, 2.5, 4096, "sh")])),
    ]
    start, end = events_of(told)
    assert (start.kind, start.time_ms, start.command, start.user, start.parent) == (
        STARTED,
        4_000,
        "sh -c job",
        "app",
        1,
    )
    assert (end.kind, end.time_ms, end.seen_at_ms, end.cpu_time_s, end.rss_bytes) == (EXITED, 20_000, 15_000, 2.5, 4096)
    assert (end.command, end.user) == ("sh -c job", "app")


def test_an_exit_of_a_process_that_was_always_there() -> None:
    """Its name is known, its command is not; a pid that was used again is told apart."""
    told = [
        (
            10_000,
            ProcessChanges(
                started=[ProcessStart(7, 9_000, 1, "new", "new", "app")],
                exited=[ProcessExit(7, 1, 5_000, 0.0, 0, "old")],
            ),
        )
    ]
    start, end = events_of(told)
    assert (start.name, start.time_ms) == ("new", 9_000)
    assert (end.name, end.command) == ("old", None)


def test_a_start_in_the_future_is_where_it_was_noticed() -> None:
    """Start times are derived from the boot time: none lies after the look that found it."""
    (start,) = events_of([(10_000, ProcessChanges(started=[ProcessStart(7, 10_900, 1, "a", "a", "b")]))])
    assert start.time_ms == 10_000
