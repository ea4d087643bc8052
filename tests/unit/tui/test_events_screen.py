"""Events as a person reads them: live, filtered, paged, and as a way into the past."""

from __future__ import annotations

from cybercorp.core.errors import UnreachableError
from cybercorp.protocol.events import Severity
from cybercorp.protocol.live import Subscribed
from cybercorp.tui.screens.event_details import EventDialog
from cybercorp.tui.screens.events import EventsScreen
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, event, summary


def logged(count: int) -> FakeClient:
    client = FakeClient([summary(number) for number in range(3)])
    severities = [Severity.INFO, Severity.INFO, Severity.WARNING, Severity.ERROR]
    client.log = [
        event(number, severity=severities[number % 4], time_ms=START_MS - (count - number) * 1_000)
        for number in range(count)
    ]
    return client


def screen_of(seat: Seat) -> EventsScreen:
    screen = seat.app.front
    assert isinstance(screen, EventsScreen)
    return screen


async def opened(seat: Seat) -> EventsScreen:
    await seat.press("e")
    await seat.until(lambda: isinstance(seat.app.front, EventsScreen))
    return screen_of(seat)


async def test_newest_first_with_glyphs() -> None:
    """`e` shows what happened last, with ▲ and ✖ where it matters."""
    async with dashboard(client=logged(60)) as seat:
        await opened(seat)
        await seat.sees("Host web-59 fell silent.")
        lines = [line for line in seat.lines() if "Host web-" in line]
        assert [line[2] for line in lines[:4]] == ["✖", "▲", "·", "·"]


async def test_live_events_are_appended() -> None:
    """What happens while one looks comes to the top."""
    async with dashboard(client=logged(10)) as seat:
        await opened(seat)
        await seat.sees("Host web-9 ")
        seat.client.connection.send_events(event(500, time_ms=START_MS, message="Something new."))
        await seat.sees("Something new.")


async def test_a_selected_event_stays_where_it_is_while_others_come() -> None:
    """The list does not slip away below the cursor."""
    async with dashboard(client=logged(200)) as seat:
        screen = await opened(seat)
        await seat.press(*["down"] * 40)
        chosen = screen.model.selected_row
        assert chosen is not None
        before = next(i for i, line in enumerate(seat.lines()) if line.startswith("▌"))
        seat.client.connection.send_events(event(500), event(501))
        await seat.until(lambda: screen.model.loaded == 202)
        await seat.pilot.pause()
        assert screen.model.selected_row == chosen
        assert seat.lines()[before].startswith("▌")


async def test_older_pages_are_read_when_the_end_comes_near() -> None:
    """A log of a thousand events is read in pages, back to its beginning."""
    async with dashboard(client=logged(1_000)) as seat:
        screen = await opened(seat)
        await seat.until(lambda: screen.model.loaded == 200)
        for expected in (400, 600, 800, 1_000):
            await seat.press("end")
            await seat.until(lambda wanted=expected: screen.model.loaded == wanted)  # type: ignore[misc]
        await seat.press("end")
        await seat.sees("Host web-0 ")
        await seat.until(lambda: screen.model.complete)


async def test_a_filter_reads_on_until_it_has_a_screenful() -> None:
    """Rare events are found although they stand far back in the log."""
    client = logged(1_000)
    client.log[3] = event(3, time_ms=client.log[3].time_ms, message="The needle.")
    async with dashboard(client=client) as seat:
        screen = await opened(seat)
        await seat.press("slash", *"needle", "enter")
        await seat.sees("The needle.")
        assert screen.model.complete
        await seat.press("escape")
        await seat.sees("filter none")


async def test_order_can_be_turned() -> None:
    """`o` shows the oldest first."""
    async with dashboard(client=logged(10)) as seat:
        await opened(seat)
        await seat.sees("newest first")
        await seat.press("o")
        await seat.sees("oldest first")
        lines = [line for line in seat.lines() if "Host web-" in line]
        assert "web-0 " in lines[0]


async def test_details_lead_to_the_instant() -> None:
    """Enter shows everything about an event, `g` shows the fleet at that moment."""
    client = logged(10)
    client.log[9] = event(
        9, severity=Severity.ERROR, time_ms=START_MS - 5_000, message="Boom.", attributes={"dropped": "12\x1b[2J"}
    )
    async with dashboard(client=client) as seat:
        await opened(seat)
        await seat.sees("Boom.")
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, EventDialog))
        await seat.sees("12\\x1b[2J")
        await seat.press("g")
        await seat.until(lambda: seat.app.session.instant.at_ms == START_MS - 5_000)
        await seat.sees("◀ ")


async def test_the_past_shows_what_had_happened_by_then() -> None:
    """Events after the instant are not shown; back live they are."""
    async with dashboard(client=logged(100)) as seat:
        screen = await opened(seat)
        await seat.sees("Host web-99 ")
        screen.go_to(START_MS - 50_000)
        await seat.sees("Host web-50 ")
        assert "Host web-51 " not in seat.text()
        await seat.press("l")
        await seat.sees("Host web-99 ")


async def test_a_lost_place_in_the_log_reads_it_again() -> None:
    """When the server cannot resume, the list is made anew instead of having a hole."""
    async with dashboard(client=logged(10)) as seat:
        screen = await opened(seat)
        await seat.until(lambda: screen.model.loaded == 10)
        seat.client.log += [event(number) for number in range(10, 20)]
        seat.client.connection.push(Subscribed(subscription=1, epoch="other", resumed=False))
        await seat.until(lambda: screen.model.loaded == 20)


async def test_an_empty_log_and_a_failing_one_are_designed_screens() -> None:
    """Nothing happened is said; an error is said with its reason."""
    async with dashboard(client=logged(0)) as seat:
        screen = await opened(seat)
        await seat.sees("Nothing has happened yet")
        seat.client.failure = UnreachableError("The server does not answer.", hint="Try later.")
        screen.go_to(START_MS - 1_000)
        await seat.sees("✖ The events cannot be read")
        assert "The server does not answer." in seat.text()
