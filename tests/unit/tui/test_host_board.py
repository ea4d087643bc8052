"""The host's panels and processes on a real screen: live, past, mouse, keys, filters, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.events import AppBlur, AppFocus
from textual.pilot import Pilot

from cybercorp.core.errors import UnreachableError
from cybercorp.protocol.processes import ProcessTable
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.widgets.chart_panel import ChartPanel
from cybercorp.tui.widgets.host_board import HostBoard
from cybercorp.tui.widgets.panel import Panel
from cybercorp.tui.widgets.process_details import ProcessDetails
from cybercorp.tui.widgets.process_panel import FilterInput
from tests.unit.tui.host_calls import HostCalls
from tests.unit.tui.host_rows import HostRows
from tests.unit.tui.process_tables import many, table_of

START = 1_800_000_000_000


class BoardApp(App[None]):
    """A board alone, with ASCII or braille glyphs."""

    def __init__(self, calls: HostCalls, *, ascii_glyphs: bool = False) -> None:
        super().__init__()
        self.ascii_glyphs = ascii_glyphs
        self.calls = calls
        self.board = HostBoard(calls.name, calls.ready)
        self.chosen: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.board

    def on_host_board_chosen(self, event: HostBoard.Chosen) -> None:
        self.chosen.append(event.at_ms)


@asynccontextmanager
async def opened(
    rows: HostRows | None = None,
    *,
    size: tuple[int, int] = (120, 40),
    seconds: int = 3,
    table: ProcessTable | None = None,
    ascii_glyphs: bool = False,
    calls: HostCalls | None = None,
) -> AsyncIterator[tuple[BoardApp, HostBoard, Pilot[None]]]:
    """A board with some seconds of live data."""
    app = BoardApp(calls or HostCalls(rows or HostRows()), ascii_glyphs=ascii_glyphs)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        feed(app, seconds, table)
        await settled(app, pilot)
        yield app, app.board, pilot


def feed(app: BoardApp, seconds: int, table: ProcessTable | None = None, *, start_ms: int = START) -> None:
    if seconds:
        app.board.take_catalogue(app.calls.catalogue())
    for second in range(seconds):
        app.board.take_row(app.calls.row(start_ms + second * 1000))
    if table is not None:
        app.board.take_processes(app.calls.table(table))


async def settled(app: BoardApp, pilot: Pilot[None]) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


def screen_text(app: App[None]) -> list[str]:
    """What the terminal shows, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return [strip.text.ljust(width)[:width] for strip in strips[:height]]


def found(app: App[None], text: str) -> bool:
    return any(text in line for line in screen_text(app))


TABLE = table_of(
    (1, 0, "init", 0.0, 1 << 20),
    (20, 1, "java", 6.12, 4 << 30),
    (30, 1, "nginx", 0.08, 61 << 20),
    (31, 30, "nginx-worker", 0.5, 30 << 20),
    at_ms=START + 2000,
)


async def test_it_shows_numbers_as_soon_as_rows_come() -> None:
    """CPU, memory and processes carry their key numbers after the first rows."""
    async with opened(table=TABLE) as (app, _, _):
        assert found(app, "CPU 42%")
        assert found(app, "Memory 20.4 / 32.0 GiB")
        assert found(app, "Processes 4")
        assert found(app, "java --flag")
        assert found(app, "612")


async def test_before_the_first_row_it_says_that_it_waits() -> None:
    """Nothing is drawn as zero before there is a number."""
    async with opened(seconds=0) as (app, _, _):
        assert found(app, "Waiting for the first numbers…")
        assert found(app, "Waiting for the processes…")
        assert not found(app, "0%")


async def test_the_minutes_before_are_asked_for_once() -> None:
    """The charts begin with history; a cut connection asks again for what was missed."""
    async with opened() as (app, board, pilot):
        assert [what for what, _ in app.calls.asked].count("query") == 1
        metrics = board.view.live
        assert metrics.columns(metrics.catalogue.cpu, 100)[0] is not None
        board.interrupted()
        board.take_row(app.calls.row(START + 60_000))
        await settled(app, pilot)
        assert [what for what, _ in app.calls.asked].count("query") == 2


async def test_a_past_instant_and_back() -> None:
    """Another instant shows the store's values and processes; live data does not disturb it; live comes back."""
    calls = HostCalls(HostRows())
    calls.past[START - 60_000] = table_of((77, 1, "culprit", 3.0, 1 << 20), at_ms=START - 60_000, partial=True)
    async with opened(calls=calls, table=TABLE) as (app, board, pilot):
        board.show_instant(START - 60_000)
        await settled(app, pilot)
        assert found(app, "CPU 7%")
        assert found(app, "culprit")
        assert found(app, "the top 1")
        feed(app, 1, TABLE, start_ms=START + 10_000)
        await settled(app, pilot)
        assert found(app, "culprit")
        board.show_instant(None)
        await settled(app, pilot)
        assert not found(app, "culprit")
        assert found(app, "java --flag")
        assert found(app, "CPU 42%")


async def test_an_instant_without_data_says_so() -> None:
    """Before the first record there is a sentence, not zeros."""
    calls = HostCalls(HostRows())
    calls.recorded_from_ms = START
    async with opened(calls=calls, table=TABLE) as (app, board, pilot):
        board.show_instant(START - 3_600_000)
        await settled(app, pilot)
        assert found(app, "Nothing is recorded at")
        assert found(app, "No processes are recorded at")


async def test_a_server_that_does_not_answer_is_named() -> None:
    """The reason stands where the numbers would be, and the board recovers when it answers."""
    async with opened(table=TABLE) as (app, board, pilot):
        app.calls.failure = UnreachableError("The server does not answer.", hint="Start it.")
        board.show_instant(START - 60_000)
        await settled(app, pilot)
        assert found(app, "The server does not answer.")
        app.calls.failure = None
        board.show_instant(START - 61_000)
        await settled(app, pilot)
        assert found(app, "CPU 7%")


async def test_the_last_of_many_instants_wins() -> None:
    """Scrubbing quickly shows the instant where it stopped, also when answers are slow."""

    async with opened(table=TABLE) as (app, board, pilot):
        app.calls.gate = asyncio.Event()
        for step in range(10):
            board.show_instant(START - 60_000 - step * 1000)
            await pilot.pause()
        app.calls.gate.set()
        await settled(app, pilot)
        assert board.view.at_ms == START - 69_000
        assert board.view.past is not None
        assert board.view.past.timestamp_ms == START - 69_000


async def test_pointing_at_the_chart_names_who_was_busy() -> None:
    """The mouse over the CPU chart shows the processes of that second; leaving it shows the present."""
    async with opened(seconds=0) as (app, board, pilot):
        app.board.take_catalogue(app.calls.catalogue())
        for second in range(120):
            board.take_row(app.calls.row(START + second * 1000))
            name = "culprit" if second < 60 else "innocent"
            board.take_processes(app.calls.table(table_of((5, 1, name, 0.9, 1 << 20), at_ms=START + second * 1000)))
        await settled(app, pilot)
        cpu = app.query_one("#cpu", ChartPanel)
        left = cpu.size.width - 3 - (cpu.size.width - 9) * 100 // 300
        await pilot.hover("#cpu", offset=(left, 3))
        await settled(app, pilot)
        assert found(app, "culprit")
        assert found(app, "Processes 1 at ")
        await pilot.click("#cpu", offset=(left, 3))
        assert len(app.chosen) == 1
        assert START <= app.chosen[0] < START + 60_000
        await pilot.hover("#process-table", offset=(5, 5))
        await settled(app, pilot)
        assert found(app, "innocent")
        assert not found(app, "Processes 1 at ")


async def test_the_arrows_ask_a_chart_who_did_it() -> None:
    """The cursor walks through a chart by key: the processes of its instant, by the chart's resource; esc ends it."""
    calls = HostCalls(HostRows())
    async with opened(seconds=0, calls=calls) as (app, board, pilot):
        app.board.take_catalogue(app.calls.catalogue())
        for second in range(120):
            board.take_row(app.calls.row(START + second * 1000))
            name = "culprit" if second < 60 else "innocent"
            table = table_of((5, 1, name, 0.9, 1 << 20), (6, 1, "large", 0.1, 9 << 30), at_ms=START + second * 1000)
            board.take_processes(app.calls.table(table))
        await settled(app, pilot)
        order = (board.view.processes.sort, board.view.processes.descending)
        assert board.next_chart()
        await pilot.pause()
        assert app.focused is app.query_one("#cpu")
        for _ in range(200):
            await pilot.press("left")
            if found(app, "culprit"):
                break
        assert found(app, "culprit")
        assert found(app, "Processes 2 at ")
        assert board.next_chart()
        await pilot.pause()
        assert app.focused is app.query_one("#memory")
        assert board.view.processes.sort is ProcessSort.MEMORY
        await pilot.press("left", "down", "enter")
        assert len(app.chosen) == 1
        assert board.view.processes.selected_index == 1
        assert board.step_back()
        await settled(app, pilot)
        assert (board.view.processes.sort, board.view.processes.descending) == order
        assert found(app, "innocent")
        assert not found(app, "Processes 2 at ")


async def test_a_past_chart_is_asked_for_the_table_that_covers_the_instant() -> None:
    """A recorded table tells the seconds before it: the first one after the instant is the answer."""
    calls = HostCalls(HostRows())
    async with opened(calls=calls) as (app, board, pilot):
        board.show_instant(START - 600_000)
        await settled(app, pilot)
        calls.asked.clear()
        board.point(START - 640_000)
        await settled(app, pilot)
        assert ("processes", START - 630_000) in calls.asked


async def test_the_newest_instant_is_drawn_and_none_is_asked_for_twice_at_once() -> None:
    """Fifty steps while the server thinks are two questions: the first and the last."""
    calls = HostCalls(HostRows())
    async with opened(calls=calls) as (app, board, pilot):
        calls.gate = asyncio.Event()
        calls.asked.clear()
        board.show_instant(START - 10_000)
        await pilot.pause()
        for step in range(2, 51):
            board.show_instant(START - step * 10_000)
        busy = board.catching_up
        assert busy
        calls.gate.set()
        await settled(app, pilot)
        busy = board.catching_up
        assert not busy
        assert [at for name, at in calls.asked if name == "latest"] == [START - 10_000, START - 500_000]
        assert board.view.at_ms == START - 500_000


async def test_the_selected_row_stays_where_it_is() -> None:
    """When the order changes every second, the selected process keeps its line on the screen."""
    async with opened(table=many(300, at_ms=START)) as (app, board, pilot):
        for _ in range(6):
            await pilot.press("down")
        key = board.view.processes.selected
        line = next(index for index, text in enumerate(screen_text(app)) if "▌" in text)
        for second in range(1, 8):
            board.take_processes(app.calls.table(many(300, at_ms=START + second * 1000, seed=second * 7)))
            await pilot.pause()
            assert board.view.processes.selected == key
        marked = [index for index, text in enumerate(screen_text(app)) if "▌" in text]
        assert len(marked) == 1
        index = board.view.processes.selected_index
        assert index is not None
        assert marked[0] == line or index < 6


async def test_keys_move_and_pages_turn() -> None:
    """Arrows, page keys, home and end select; the row is always on the screen."""
    async with opened(table=many(500, at_ms=START)) as (app, board, pilot):
        model = board.view.processes
        await pilot.press("end")
        assert model.selected_index == 499
        assert any("▌" in text for text in screen_text(app))
        await pilot.press("pageup", "up")
        assert model.selected_index is not None
        assert 460 < model.selected_index < 499
        await pilot.press("home")
        assert model.selected is None
        assert model.selected_index == 0


async def test_the_header_sorts_by_mouse() -> None:
    """A click on a head sorts by its column, a second one turns the order round."""
    async with opened(table=TABLE) as (app, board, pilot):
        header = next(text for text in screen_text(app) if "COMMAND" in text)
        x = header.index("RSS") - 1
        await pilot.click("#process-table", offset=(x, 0))
        assert board.view.processes.table.name[board.view.processes.rows[0]] == "java"
        await pilot.click("#process-table", offset=(x, 0))
        assert board.view.processes.table.name[board.view.processes.rows[0]] == "init"


async def test_a_click_selects_and_a_second_opens() -> None:
    """The mouse selects a row; clicking the selected one shows its details, which follow new tables."""
    async with opened(table=TABLE) as (app, board, pilot):
        await pilot.click("#process-table", offset=(20, 2))
        assert board.view.processes.selected == (31, 500)
        assert not isinstance(app.screen, ProcessDetails)
        await pilot.click("#process-table", offset=(20, 2))
        await settled(app, pilot)
        assert isinstance(app.screen, ProcessDetails)
        assert found(app, "nginx-worker (31)")
        assert found(app, "/usr/bin/nginx-worker --flag")
        assert found(app, "30 nginx")
        board.take_processes(app.calls.table(table_of((1, 0, "init", 0.0, 1), at_ms=START + 9000)))
        await settled(app, pilot)
        assert found(app, "ended")
        assert found(app, "/usr/bin/nginx-worker --flag")
        await pilot.press("escape")
        assert not isinstance(app.screen, ProcessDetails)


async def test_the_filter_is_applied_while_it_is_typed() -> None:
    """Typing narrows the list, a wrong filter says so, enter keeps it, escape shows everything again."""
    async with opened(table=TABLE) as (app, board, pilot):
        board.processes.open_filter()
        await pilot.pause()
        await pilot.press(*"nginx")
        await settled(app, pilot)
        assert len(board.view.processes.rows) == 2
        assert found(app, "2 shown")
        await pilot.press("enter")
        assert board.processes.table.has_focus
        assert len(board.view.processes.rows) == 2
        board.processes.open_filter()
        await pilot.pause()
        app.query_one(FilterInput).value = "cpu>much"
        await settled(app, pilot)
        assert found(app, "'much' is not a number.")
        await pilot.press("escape")
        await settled(app, pilot)
        assert len(board.view.processes.rows) == 4
        assert board.processes.table.has_focus


async def test_a_hidden_filter_never_swallows_keys() -> None:
    """Whenever the filter's field has the focus it is seen, also after the terminal lost and regained the focus."""
    async with opened(table=TABLE) as (app, board, pilot):
        field = app.query_one(FilterInput)
        for _ in range(3):
            board.processes.open_filter()
            board.take_processes(app.calls.table(TABLE))
            await pilot.pause()
            assert field.has_focus
            assert field.display
            app.post_message(AppBlur())
            await pilot.pause()
            app.post_message(AppFocus())
            await settled(app, pilot)
            assert field.display is field.has_focus
            await pilot.press("escape")
            await settled(app, pilot)
            assert board.processes.table.has_focus
            assert not field.display


async def test_a_filter_that_matches_nothing_says_how_to_go_on() -> None:
    """An empty list names the filter and the way out."""
    async with opened(table=TABLE) as (app, board, pilot):
        board.view.processes.set_filter("nosuchthing")
        board.processes.table.rearranged()
        await settled(app, pilot)
        assert found(app, "No process matches 'nosuchthing'. Press esc")


async def test_the_tree_shows_parents_and_folds() -> None:
    """Children stand under their parents; left folds, right unfolds."""
    async with opened(table=TABLE) as (app, board, pilot):
        board.processes.table.action_tree()
        await settled(app, pilot)
        assert found(app, "└─ nginx-worker")
        await pilot.press("down", "left", "left")
        await settled(app, pilot)
        assert len(board.view.processes.rows) < 4
        await pilot.press("right")
        await settled(app, pilot)


async def test_a_title_click_enlarges_a_panel() -> None:
    """A click on a panel's border gives it the room, another one takes it back."""
    async with opened(table=TABLE) as (app, _, pilot):
        before = app.query_one("#memory", Panel).size.height
        await pilot.click("#memory", offset=(5, 0))
        await settled(app, pilot)
        assert app.query_one("#memory", Panel).size.height > before
        assert not found(app, "Network")
        await pilot.click("#memory", offset=(5, 0))
        await settled(app, pilot)
        assert app.query_one("#memory", Panel).size.height == before
        assert found(app, "Network")


async def test_only_changed_lines_are_drawn_again() -> None:
    """A row that changes nothing refreshes nothing: an idle screen costs nothing."""
    async with opened(table=TABLE) as (app, board, _):
        refreshed: list[str] = []
        memory = app.query_one("#memory", Panel)
        original = memory.refresh

        def spy(*regions: object, **options: object) -> object:
            refreshed.append("memory")
            return original(*regions, **options)  # type: ignore[arg-type]

        memory.refresh = spy  # type: ignore[assignment, method-assign]
        board.renew()
        board.renew()
        assert refreshed == []


async def test_sensors_appear_with_their_device() -> None:
    """The sensors' panel is hidden until a catalogue brings some."""
    async with opened(table=TABLE) as (app, _, pilot):
        assert not found(app, "Sensors")
        app.calls.rows = HostRows(sensors=True)
        feed(app, 2, start_ms=START + 10_000)
        await settled(app, pilot)
        assert found(app, "Sensors 71 °C")


async def test_hostile_names_do_not_reach_the_screen() -> None:
    """No escape, control or bidi character of a process or device name is drawn."""
    rows = HostRows(disks=("\x1b]0;evil\x07",))
    rows.gauge("system.filesystem.utilization", 0.5, mountpoint="/\u202e[red]", device="/dev/\x9b", type="x")
    table = table_of((1, 0, "\x1b[2J\u202e[bold red]x", 0.5, 1), at_ms=START, command="\x1b]52;c;x\x07[/]" * 50)
    async with opened(rows, table=table) as (app, _, _):
        lines = screen_text(app)
        assert all(line.isprintable() for line in lines)
        assert any("[red]" in line for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
@pytest.mark.parametrize("cores", [1, 64, 256])
async def test_it_fits_every_size(size: tuple[int, int], cores: int) -> None:
    """Each line fills the terminal exactly, with one core or 256."""
    async with opened(HostRows(cores=cores, sensors=True), size=size, table=TABLE) as (app, _, _):
        lines = screen_text(app)
        assert len(lines) == size[1]
        assert found(app, "CPU 42%")
        assert found(app, "Processes 4")
        assert found(app, "java")


async def test_ascii_terminals_get_ascii() -> None:
    """With ASCII glyphs nothing else is drawn, borders, charts and units included."""
    async with opened(HostRows(sensors=True), table=TABLE, ascii_glyphs=True) as (app, _, _):
        assert all(line.isascii() for line in screen_text(app)), [
            line for line in screen_text(app) if not line.isascii()
        ]
