"""What every screen has: header, time bar, dialogs, themes, keys."""

from __future__ import annotations

import pytest

from cybercorp.protocol.events import Severity
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.screens.help import HelpScreen
from cybercorp.tui.screens.jump import JumpDialog
from cybercorp.tui.session import Session
from cybercorp.tui.themes import THEMES
from cybercorp.tui.widgets.time_bar import TimeBar
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, event


def bar_of(seat: Seat) -> TimeBar:
    front = seat.app.front
    assert front is not None
    return front.time_bar


async def test_the_client_is_made_after_the_first_frame() -> None:
    """The first frame stands before the factory is called: its imports must not delay it."""
    painted: list[bool] = []
    app: DashboardApp

    def make() -> FakeClient:
        painted.append(bool(app.screen.size.width) and app.screen._compositor.size.width > 0)
        return FakeClient()

    app = DashboardApp(Session(make))
    async with app.run_test() as pilot:
        for _ in range(50):
            await pilot.pause()
            if painted:
                break
    assert painted == [True]


async def test_a_jump_dialog_takes_time_expressions_and_tells_errors_inline() -> None:
    """`t`: a wrong time says why and stays open; a right one goes there."""
    async with dashboard() as seat:
        await seat.press("t")
        await seat.until(lambda: isinstance(seat.app.screen, JumpDialog))
        await seat.press(*"soon", "enter")
        await seat.sees("✖ 'soon' is not a time.")
        await seat.press(*["backspace"] * 4, *"2m ago", "enter")
        await seat.until(lambda: seat.app.session.instant.at_ms == START_MS - 120_000)
        await seat.sees("◀ ")


async def test_a_click_on_the_time_bar_goes_there_and_on_now_comes_back() -> None:
    """The mouse way of stepping."""
    async with dashboard() as seat:
        bar = bar_of(seat)
        columns = bar.columns
        await seat.pilot.click(bar, offset=(20, 1))
        await seat.sees("◀ ")
        assert seat.app.session.instant.at_ms == columns.instant_of(20 - bar._left(columns))
        await seat.pilot.click(bar, offset=(bar.size.width - 2, 1))
        await seat.sees("● LIVE")


async def test_keys_zoom_and_play() -> None:
    """- and + change the window; space plays the past, `,` and `.` choose how fast."""
    async with dashboard() as seat:
        await seat.press("minus")
        await seat.sees("fleet cpu · 1h")
        await seat.press("plus", "plus", "plus")
        await seat.sees("fleet cpu · 5m")
        await seat.press("left_square_bracket", "left_square_bracket", "space")
        at_ms = seat.app.session.instant.at_ms
        assert at_ms is not None
        await seat.sees("▶ 10× ")
        await seat.sees("space pause")
        await seat.press("comma")
        await seat.sees("▶ 5× ")
        front = seat.app.front
        assert front is not None
        front.play(1.0)
        assert seat.app.session.instant.at_ms == at_ms + 5_000
        await seat.press("space")
        await seat.sees("◀ ")


async def test_marks_and_the_cursor_stand_on_the_time_bar() -> None:
    """▲ and ✖ where something happened, ▼ where one looks; live events are marked at once."""
    client = FakeClient()
    client.log = [event(1, severity=Severity.WARNING, time_ms=START_MS - 900_000)]
    async with dashboard(client=client, settled=False) as seat:
        await seat.until(lambda: any("▲" in line for line in seat.lines() if "fleet cpu" in line), "marked")
        seat.client.connection.send_events(event(2, severity=Severity.ERROR, time_ms=START_MS - 60_000))
        await seat.sees("✖")
        await seat.press("left_square_bracket")
        await seat.sees("▼")
        rule = next(line for line in seat.lines() if "fleet cpu" in line)
        assert rule.index("▲") < rule.index("✖") < rule.index("▼")


async def test_the_bar_asks_only_for_what_is_new() -> None:
    """Live, the next question is about the last columns, not the whole window."""
    async with dashboard() as seat:
        asked = [call for name, call in seat.client.calls if name == "metrics.query"]
        await seat.tick(40)
        await seat.until(lambda: len([1 for name, _ in seat.client.calls if name == "metrics.query"]) > len(asked))
        *_, last = [call for name, call in seat.client.calls if name == "metrics.query"]
        assert isinstance(last, tuple)
        assert last[3] - last[2] <= 80_000


async def test_the_clock_draws_nothing_but_itself() -> None:
    """A second without news refreshes the header only."""
    async with dashboard() as seat:
        bar = bar_of(seat)
        drawn: list[object] = []
        original = bar.refresh
        bar.refresh = lambda *regions, **options: drawn.append(regions) or original(*regions, **options)  # type: ignore
        before = seat.lines()
        await seat.tick(1)
        assert drawn == []
        assert seat.lines()[1:] == before[1:]
        assert seat.lines()[0] != before[0]


async def test_help_opens_and_closes_by_key_and_by_click() -> None:
    """`?` shows the keys of the screen, `?`, esc or a click beside it closes them."""
    async with dashboard() as seat:
        for way in ("question_mark", "escape", "click"):
            await seat.press("question_mark")
            await seat.until(lambda: isinstance(seat.app.screen, HelpScreen))
            if way == "click":
                await seat.pilot.click(offset=(1, 20))
            else:
                await seat.press(way)
            await seat.until(lambda: not isinstance(seat.app.screen, HelpScreen))


async def test_the_footer_can_be_clicked() -> None:
    """Every word of the footer does what its key does."""
    async with dashboard() as seat:
        footer = seat.lines()[-1]
        await seat.pilot.click(offset=(footer.index("reverse"), len(seat.lines()) - 1))
        await seat.sees("sort name ▼")


async def test_the_state_in_the_header_leads_back_to_live() -> None:
    """A click on ◀ is `l`."""
    async with dashboard() as seat:
        await seat.press("left_square_bracket")
        await seat.sees("◀ ")
        await seat.pilot.click(offset=(seat.lines()[0].index("◀"), 0))
        await seat.sees("● LIVE")


@pytest.mark.parametrize("theme", [one.name for one in THEMES])
async def test_every_theme_shows_the_same_words(theme: str) -> None:
    """Colour is never alone: the text does not depend on it."""
    async with dashboard() as seat:
        before = seat.text()
        seat.app.theme = theme
        await seat.pilot.pause()
        assert seat.text() == before


async def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR nothing but greys is drawn, and the states still differ."""
    monkeypatch.setenv("NO_COLOR", "1")
    async with dashboard() as seat:
        assert seat.app.no_color
        assert {"●", "◌", "✖"} <= set(seat.text())


@pytest.mark.parametrize("size", [(80, 24), (81, 25), (100, 30), (132, 43), (200, 50), (250, 70)])
async def test_no_line_is_longer_than_the_terminal(size: tuple[int, int]) -> None:
    """From 80×24 up everything fits, on every screen."""
    async with dashboard(size=size) as seat:
        for key in ("down", "e", "question_mark"):
            await seat.press(key)
            assert len(seat.lines()) == size[1]
            assert max(map(len, seat.lines())) <= size[0]
