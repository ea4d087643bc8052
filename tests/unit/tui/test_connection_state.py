"""The header's words about the connection."""

from __future__ import annotations

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import UnreachableError
from cybercorp.tui.state.connection import ConnectionModel, Mood, Phase, badge, mood_of
from cybercorp.tui.state.instant import InstantModel
from cybercorp.tui.state.lines import text_of


def parts() -> tuple[ConnectionModel, InstantModel, ManualClock]:
    clock = ManualClock()
    return ConnectionModel(clock), InstantModel(clock), clock


def test_open_is_live() -> None:
    """An open connection says ● LIVE."""
    connection, instant, _ = parts()
    connection.opened()
    assert text_of(badge(connection, instant)) == "● LIVE"
    assert connection.trouble() == ""


def test_a_cut_is_stale_with_a_growing_age_and_a_countdown() -> None:
    """The age of the picture grows, the countdown falls, the reason stays."""
    connection, instant, clock = parts()
    connection.opened()
    clock.advance(2)
    connection.lost("The server restarts.", 5.0)
    clock.advance(1)
    assert text_of(badge(connection, instant)) == "◌ STALE 3 s"
    assert connection.trouble() == "Trying again in 4 s: The server restarts."
    clock.advance(120)
    assert text_of(badge(connection, instant)) == "◌ STALE 2 min"
    assert connection.trouble() == "Trying again now: The server restarts."
    connection.opened()
    assert mood_of(connection, instant) is Mood.LIVE


def test_a_server_that_never_answered_is_no_stale_picture() -> None:
    """Before the first connection there is nothing that could be old."""
    connection, instant, _ = parts()
    assert text_of(badge(connection, instant)) == "◌ CONNECTING"
    connection.fail(UnreachableError("Nobody answers.", hint="Start one with: cybercorp up."), 2.0)
    assert connection.phase is Phase.FAILED
    assert text_of(badge(connection, instant)) == "✖ NO SERVER"
    assert connection.hint == "Start one with: cybercorp up."


def test_a_server_that_wants_a_log_in_is_there() -> None:
    """It is not said to be away; the words say what to do."""
    connection, instant, _ = parts()
    connection.lost("You are not logged in to 'prod'. Log in: cybercorp login.", 15.0, "unauthenticated")
    assert text_of(badge(connection, instant)) == "✖ NO ACCESS"
    assert "cybercorp login" in connection.trouble()


def test_a_silent_server_is_stale_only_where_updates_are_due() -> None:
    """An open socket from which nothing comes is noticed after five seconds, unless nothing has to come."""
    connection, instant, clock = parts()
    connection.opened()
    clock.advance(20)
    assert mood_of(connection, instant) is Mood.LIVE
    connection.expects_updates = True
    assert mood_of(connection, instant) is Mood.STALE
    assert "silent" in connection.trouble()
    connection.heard()
    assert mood_of(connection, instant) is Mood.LIVE


def test_the_past_is_told_by_its_time() -> None:
    """Replay shows ◀ and the instant, ▶ and the speed while it plays, and that the server is away."""
    connection, instant, _ = parts()
    connection.opened()
    instant.go(instant.now_ms() - 60_000)
    assert text_of(badge(connection, instant)).startswith("◀ ")
    instant.toggle_play()
    assert text_of(badge(connection, instant)).startswith("▶ 10× ")
    connection.lost("Gone.", None)
    assert text_of(badge(connection, instant)).endswith(" ◌")


def test_a_hostile_reason_stays_on_one_line() -> None:
    """What a server says about its end is foreign text."""
    connection, _, _ = parts()
    connection.lost("bad \x1b[31m\nnews", 1.0)
    assert connection.reason == "bad \\x1b[31m\\nnews"
