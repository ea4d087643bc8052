"""Travelling in time by key: events, playing, recordings; and how little is asked of the server."""

from __future__ import annotations

from cybercorp.protocol.events import Severity
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, event, summary

SPAN = (START_MS - 1_500_000, START_MS - 300_000)


def troubled() -> FakeClient:
    """A small fleet with three events, the last two reported out of order."""
    client = FakeClient([summary(number) for number in range(5)])
    client.past = {0: client.rows}
    client.log = [
        event(1, severity=Severity.WARNING, time_ms=START_MS - 1_200_000),
        event(2, severity=Severity.ERROR, time_ms=START_MS - 200_000),
        event(3, severity=Severity.INFO, time_ms=START_MS - 600_000),
    ]
    return client


def windows(seat: Seat) -> list[object]:
    """The past instants that the fleet was asked for."""
    return [argument for name, argument in seat.client.calls if name == "hosts.window"]


def listed(seat: Seat) -> list[object]:
    """How often events were asked for."""
    return [argument for name, argument in seat.client.calls if name == "events.list"]


async def test_from_event_to_event() -> None:
    """`{` and `}` go by time, not by the order of the reports; where there is none they say so and stay."""
    async with dashboard(client=troubled()) as seat:
        instant = seat.app.session.instant
        for key, wanted in (
            ("left_curly_bracket", 200_000),
            ("left_curly_bracket", 600_000),
            ("left_curly_bracket", 1_200_000),
            ("left_curly_bracket", 1_200_000),
            ("right_curly_bracket", 600_000),
            ("right_curly_bracket", 200_000),
            ("right_curly_bracket", 200_000),
        ):
            asked = len(listed(seat))
            await seat.press(key)
            await seat.until(lambda asked=asked: len(listed(seat)) > asked, "asked")  # type: ignore[misc]
            await seat.until(lambda wanted=wanted: instant.at_ms == START_MS - wanted, "there")  # type: ignore[misc]
        await seat.sees("No event comes after this.")
        await seat.sees("No event came before this.")


async def test_speed_keys_start_to_play() -> None:
    """`.` in the past plays, and faster each time; live there is nothing to play."""
    async with dashboard(client=troubled()) as seat:
        await seat.press("full_stop")
        assert not seat.app.session.instant.playing
        await seat.press("left_square_bracket", "comma")
        await seat.sees("▶ 10×")
        await seat.press("comma")
        await seat.sees("▶ 5×")
        await seat.press("left_square_bracket")
        assert not seat.app.session.instant.playing
        await seat.sees("◀ ")


async def test_playing_waits_for_its_pictures() -> None:
    """While an answer is awaited no other is asked for; then it goes on where time has come to."""
    async with dashboard(client=troubled()) as seat:
        await seat.press("left_parenthesis")
        await seat.until(lambda: bool(windows(seat)), "asked")
        seat.client.gate.clear()
        for _ in range(5):
            seat.app.session.instant.change_speed(1)
        await seat.press("space")
        asked = len(windows(seat))
        began = seat.app.session.instant.at_ms or 0
        for _ in range(40):
            seat.clock.advance(0.1)
            seat.app._play()
            await seat.pilot.pause()
        assert len(windows(seat)) <= asked + 1
        seat.client.gate.set()
        await seat.until(lambda: seat.app.front is not None and not seat.app.front.catching_up, "drawn")
        seat.app._play()
        await seat.pilot.pause()
        assert (seat.app.session.instant.at_ms or 0) - began >= 200_000


async def test_it_does_not_play_behind_a_dialog() -> None:
    """Whoever types a time to jump to finds the past where it was."""
    async with dashboard(client=troubled()) as seat:
        await seat.press("left_parenthesis", "space", "t")
        at_ms = seat.app.session.instant.at_ms
        for _ in range(5):
            seat.clock.advance(1)
            seat.app._play()
        assert seat.app.session.instant.at_ms == at_ms
        await seat.press("escape")
        seat.clock.advance(0.5)
        seat.app._play()
        assert (seat.app.session.instant.at_ms or 0) - (at_ms or 0) == 5_000


async def test_a_held_key_asks_for_one_instant_after_the_other() -> None:
    """Twenty steps while the server thinks are two questions, and the last one is what is shown."""
    async with dashboard(client=troubled()) as seat:
        await seat.press("left_square_bracket")
        await seat.until(lambda: bool(windows(seat)), "asked")
        seat.client.gate.clear()
        asked = len(windows(seat))
        for _ in range(20):
            await seat.press("left_square_bracket")
        assert len(windows(seat)) <= asked + 1
        seat.client.gate.set()
        await seat.until(lambda: seat.app.front is not None and not seat.app.front.catching_up, "drawn")
        assert len(windows(seat)) <= asked + 2
        assert windows(seat)[-1] == seat.app.session.instant.at_ms


async def test_the_bar_of_the_past_is_read_once() -> None:
    """Stepping inside a window that is long over asks for no curve again."""
    async with dashboard(client=troubled()) as seat:
        await seat.press("t", *"20m ago", "enter")
        await seat.until(lambda: not seat.app.session.instant.is_live, "past")
        await seat.tick(60)
        front = seat.app.front
        assert front is not None
        await seat.press("left_square_bracket")
        await seat.until(lambda: not front.catching_up and not front._tracking.busy, "all is read")
        asked = [one for one in seat.client.calls if one[0] == "metrics.query"]
        for _ in range(5):
            await seat.press("right_square_bracket")
        await seat.until(lambda: not front.catching_up and not front._tracking.busy, "all is read")
        assert [one for one in seat.client.calls if one[0] == "metrics.query"] == asked


async def test_a_recording_has_no_present() -> None:
    """REC in the header, the file's name, keys that say `to the end`, no host to add, no event beyond its ends."""
    async with dashboard(client=troubled(), recorded=SPAN, title="incident.ccrec") as seat:
        assert seat.app.session.instant.at_ms == SPAN[0]
        await seat.sees("incident.ccrec")
        await seat.sees("to the end")
        assert "LIVE" not in seat.text()
        assert "add a host" not in seat.text()
        await seat.press("c")
        await seat.sees("This is a recording")
        await seat.press("l")
        assert seat.app.session.instant.at_ms == SPAN[1]
        await seat.press("right_curly_bracket")
        await seat.sees("No event comes after this.")
        assert seat.app.session.instant.at_ms == SPAN[1]


async def test_a_recording_of_one_host_opens_that_host() -> None:
    """Nobody wants a table of one row."""
    client = FakeClient([summary(1)])
    client.past = {0: client.rows}
    async with dashboard(client=client, recorded=SPAN) as seat:
        await seat.until(lambda: len(seat.app.screen_stack) == 2, "the host's own screen")


async def test_a_click_on_a_mark_goes_to_its_event() -> None:
    """To the very instant of the event, not only into its column."""
    async with dashboard(client=troubled()) as seat:
        await seat.until(lambda: "✖" in seat.lines()[-3], "marked")
        x = seat.lines()[-3].index("✖")
        await seat.pilot.click("TimeBar", offset=(x, 0))
        await seat.until(lambda: seat.app.session.instant.at_ms == START_MS - 200_000, "there")
