"""The fleet as a person uses it: keys, mouse, filter, order, the past, trouble."""

from __future__ import annotations

import msgspec
import pytest

from cybercorp.client.agents import join_command
from cybercorp.core.errors import ForbiddenError, UnreachableError
from cybercorp.protocol.hosts import HostSort
from cybercorp.protocol.live import Topic
from cybercorp.protocol.problems import Problem
from cybercorp.tui.screens.fleet import FleetScreen
from cybercorp.tui.screens.host import HostScreen
from cybercorp.tui.screens.join import JoinDialog
from cybercorp.tui.widgets.fleet_table import FleetTable
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, summary


def fleet(seat: Seat) -> FleetScreen:
    screen = seat.app.screen_stack[0]
    assert isinstance(screen, FleetScreen)
    return screen


def line_of(seat: Seat, words: str) -> int:
    return next(number for number, line in enumerate(seat.lines()) if words in line)


async def test_shows_hosts_counts_and_that_it_is_live() -> None:
    """The first picture: one row per host, counts by state, ● LIVE."""
    async with dashboard(40) as seat:
        lines = seat.lines()
        assert "40 hosts   ● 37 ok   ◌ 1 stale   ✖ 2 down" in lines[0]
        assert "● LIVE" in lines[0]
        assert any("cache-10" in line for line in lines)


async def test_asks_only_for_the_visible_rows_of_a_large_fleet() -> None:
    """Ten thousand hosts cost what the screen shows."""
    async with dashboard(10_000) as seat:
        asked = seat.client.connection.following(Topic.HOSTS)[0]
        assert asked.limit < 80
        await seat.press("end")
        await seat.until(lambda: fleet(seat).model.rows.get(9_999) is not None, "the last row")
        asked = seat.client.connection.following(Topic.HOSTS)[0]
        assert asked.offset > 9_900
        assert "+ add a host" in seat.text()


async def test_the_wheel_scrolls_and_the_selected_host_stays_in_sight() -> None:
    """A chosen host that is scrolled away stands at the edge."""
    async with dashboard(200) as seat:
        await seat.press("down", "down")
        chosen = fleet(seat).model.selected_row
        assert chosen is not None
        fleet(seat).table.show_from(100)
        await seat.until(lambda: fleet(seat).model.stray is not None)
        await seat.pilot.pause()
        assert seat.lines()[line_of(seat, chosen.name)].startswith("↑")


async def test_enter_opens_the_selected_host_and_escape_returns() -> None:
    """Down, enter: the host; esc: the fleet with the same host selected."""
    async with dashboard() as seat:
        await seat.press("down", "enter")
        await seat.until(lambda: isinstance(seat.app.screen, HostScreen))
        screen = seat.app.screen
        assert isinstance(screen, HostScreen)
        assert screen.host == fleet(seat).model.selected
        await seat.until(lambda: not seat.client.connection.following(Topic.HOSTS), "the fleet let go")
        await seat.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, FleetScreen))
        await seat.until(lambda: bool(seat.client.connection.following(Topic.HOSTS)))
        assert fleet(seat).model.cursor == 1


async def test_a_double_click_opens_a_host() -> None:
    """The mouse way of enter."""
    async with dashboard() as seat:
        y = line_of(seat, "cache-14")
        await seat.pilot.click(offset=(10, y))
        await seat.pilot.pause()
        row = fleet(seat).model.selected_row
        assert row is not None
        assert row.name == "cache-14"
        await seat.pilot.double_click(offset=(10, y))
        await seat.until(lambda: isinstance(seat.app.screen, HostScreen))


async def test_keys_and_heads_sort() -> None:
    """`s` takes the next column, `S` turns it around, a click on a head chooses it."""
    async with dashboard() as seat:
        await seat.press("s", "s")
        await seat.sees("sort cpu ▼")
        await seat.press("S")
        await seat.sees("sort cpu ▲")
        head = line_of(seat, "HOST")
        await seat.pilot.click(offset=(seat.lines()[head].index("MEM") + 1, head))
        await seat.sees("sort mem ▼")
        assert seat.client.connection.following(Topic.HOSTS)[0].sort is HostSort.MEMORY


async def test_a_filter_is_applied_while_it_is_typed() -> None:
    """`/`, words, enter; the fleet shows what matches and says so; esc shows all."""
    async with dashboard() as seat:
        await seat.press("slash")
        await seat.press(*"env=test db")
        await seat.until(lambda: seat.client.connection.following(Topic.HOSTS)[0].selector == "env=test *db*")
        await seat.press("enter")
        await seat.sees("filter env=test db  3 match")
        assert seat.app.focused is seat.app.screen.query_one(FleetTable)
        await seat.press("escape")
        await seat.sees("filter none")
        await seat.until(lambda: seat.client.connection.following(Topic.HOSTS)[0].selector is None)


async def test_a_wrong_filter_says_what_is_wrong_beside_it() -> None:
    """The error stands where it was typed; the list stays."""
    async with dashboard() as seat:
        await seat.press("slash")
        await seat.press(*"heat>80")
        await seat.sees("'heat' cannot be compared")
        assert all(">" not in (one.selector or "") for one in seat.client.connection.following(Topic.HOSTS))


async def test_a_filter_that_the_server_refuses_is_told_too() -> None:
    """A problem of the subscription is shown inline."""
    async with dashboard() as seat:
        number = seat.client.connection.following(Topic.HOSTS)[0].subscription
        seat.client.connection.push(
            Problem(type="t", title="t", status=400, code="invalid_input", detail="No such label.", subscription=number)
        )
        await seat.sees("✖ No such label.")


async def test_nothing_matches_is_a_designed_screen() -> None:
    """It says what was asked and how to get out."""
    async with dashboard() as seat:
        await seat.press("slash", *"nosuch", "enter")
        await seat.sees("No host matches *nosuch*")
        assert "esc shows all hosts" in seat.text()


async def test_an_empty_fleet_says_how_to_add_a_host() -> None:
    """Nothing has joined yet: the next step is on the screen."""
    async with dashboard([]) as seat:
        await seat.sees("No host yet")
        assert "c makes the command" in seat.text()


async def test_c_makes_a_join_command_and_copies_it() -> None:
    """The exact command, in the clipboard, and in the last row afterwards."""
    async with dashboard(3) as seat:
        await seat.press("c")
        await seat.until(lambda: isinstance(seat.app.screen, JoinDialog))
        command = "CYBERCORP_TOKEN=cce_0123456789abcdefghijklmnop cybercorp agent join http://127.0.0.1:8765"
        assert seat.app.clipboard == command
        assert "listens on this machine only" in seat.text()
        await seat.press("escape")
        await seat.sees("+ add a host   CYBERCORP_TOKEN=")


async def test_a_click_on_the_last_row_adds_a_host() -> None:
    """The row is a button: one click, and the dialog with the command is there."""
    async with dashboard(3) as seat:
        await seat.pilot.click(offset=(10, line_of(seat, "+ add a host")))
        await seat.until(lambda: isinstance(seat.app.screen, JoinDialog))


async def test_no_token_is_made_before_somebody_asks() -> None:
    """Looking at the fleet creates no credential."""
    async with dashboard(3) as seat:
        await seat.tick()
        assert "agents.create_enrolment" not in {name for name, _ in seat.client.calls}


async def test_a_refused_join_command_says_why() -> None:
    """Without the permission there is a message and no dialog."""
    async with dashboard(3) as seat:
        seat.client.failure = ForbiddenError("You may not enrol agents.", hint="Ask the owner.")
        await seat.press("c")
        await seat.sees("You may not enrol agents.")
        assert not isinstance(seat.app.screen, JoinDialog)


async def test_one_host_alone_is_opened_and_escape_shows_the_fleet() -> None:
    """A fleet of one is that host; it is not opened against the person's will a second time."""
    async with dashboard(1, settled=False) as seat:
        await seat.until(lambda: isinstance(seat.app.screen, HostScreen))
        await seat.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, FleetScreen))
        seat.client.connection.send_hosts()
        await seat.sees("1 host")
        assert isinstance(seat.app.screen, FleetScreen)


async def test_a_first_host_that_joins_is_opened() -> None:
    """`cybercorp up` shows this machine as soon as its agent has joined."""
    async with dashboard([], settled=False) as seat:
        await seat.sees("No host yet")
        seat.client.rows.append(summary(1))
        seat.client.connection.send_hosts()
        await seat.until(lambda: isinstance(seat.app.screen, HostScreen))


async def test_a_second_host_keeps_the_fleet() -> None:
    """With two hosts the fleet is what opens."""
    async with dashboard(2) as seat:
        await seat.tick()
        assert isinstance(seat.app.screen, FleetScreen)


async def test_a_cut_keeps_the_last_picture_marked_stale_and_recovers() -> None:
    """◌ STALE with a growing age, the reason and a countdown; the rows stay; ● LIVE comes back by itself."""
    async with dashboard() as seat:
        seat.client.connection.cut("The server cut the connection.", 9.0)
        await seat.sees("◌ STALE")
        await seat.tick(3)
        assert "◌ STALE 3 s" in seat.lines()[0]
        assert "Trying again in 6 s: The server cut the connection." in seat.lines()[0]
        assert "cache-14" in seat.text()
        await seat.tick(60)
        assert "◌ STALE 1 min" in seat.lines()[0]
        assert seat.lines()[line_of(seat, "cache-14")].endswith("1m")
        await seat.client.connection.restore()
        await seat.sees("● LIVE")


async def test_no_news_is_no_silence_where_none_is_due() -> None:
    """Events and the past get nothing for minutes from a healthy server: no alarm. In the live fleet it is one."""
    async with dashboard() as seat:
        await seat.press("e")
        await seat.tick(60)
        assert "STALE" not in seat.lines()[0]
        assert "silent" not in seat.lines()[0]
        await seat.press("escape")
        await seat.press("left_square_bracket")
        await seat.until(lambda: not seat.client.connection.following(Topic.HOSTS), "the present let go")
        await seat.tick(60)
        assert "silent" not in seat.lines()[0]
        await seat.press("l")
        await seat.sees("● LIVE")
        seat.client.connection.send_hosts()
        await seat.pilot.pause()
        await seat.tick(6)
        assert "◌ STALE 6 s" in seat.lines()[0]


def test_the_join_command_names_the_key_of_the_authority() -> None:
    """Another machine then talks to this server and to no other; without an authority there is no pin."""
    made = join_command("https://monitor:8765", "cce_x", ["sha256:a", "sha256:backup"])
    assert made == "CYBERCORP_TOKEN=cce_x cybercorp agent join https://monitor:8765 --pin sha256:a"
    assert join_command("http://a:1", "cce_x") == "CYBERCORP_TOKEN=cce_x cybercorp agent join http://a:1"


async def test_no_server_is_a_designed_screen() -> None:
    """What is wrong, what to do, and that it is tried again."""
    client = FakeClient()
    client.reachable = False
    async with dashboard(client=client, settled=False) as seat:
        await seat.until(lambda: bool(seat.client.connection.open))
        seat.client.connection.cut("The server at http://127.0.0.1:8765 does not answer.", 7.0)
        await seat.sees("✖ The server cannot be reached")
        assert "Trying again in 7 s." in seat.text()
        assert "ctrl+r tries now" in seat.text()
        assert "✖ NO SERVER" in seat.lines()[0]


async def test_the_past_is_read_from_the_store() -> None:
    """A step back shows the fleet of that instant under another header; `l` shows the present."""
    async with dashboard() as seat:
        seat.client.past = {0: [msgspec.structs.replace(summary(n), name=f"old-{n}") for n in range(5)]}
        await seat.press("left_square_bracket")
        await seat.sees("old-3")
        header = seat.lines()[0]
        assert "◀ " in header
        assert "5 hosts" in header
        assert not seat.client.connection.following(Topic.HOSTS)
        await seat.press("l")
        await seat.sees("cache-14")
        assert "● LIVE" in seat.lines()[0]


async def test_another_instant_is_not_shown_by_the_old_picture() -> None:
    """While a slow store is read, the rows that still stand there are drawn as old, and the line says so."""
    async with dashboard() as seat:
        seat.client.gate.clear()
        await seat.press("left_square_bracket")
        await seat.tick(1)
        assert fleet(seat).table.stale
        assert "reading…" in seat.text()
        seat.client.past = {0: seat.client.rows[:3]}
        seat.client.gate.set()
        await seat.sees("3 hosts")
        await seat.tick(0)
        assert not fleet(seat).table.stale
        assert "reading…" not in seat.text()


async def test_a_past_without_hosts_says_so() -> None:
    """Before the first sample there is nothing, and the screen says how to go on."""
    async with dashboard() as seat:
        await seat.press("left_parenthesis")
        await seat.sees("◀ No host is recorded at")
        assert "l shows the present" in seat.text()


async def test_a_past_that_cannot_be_read_says_why() -> None:
    """An error of the store is not an empty fleet."""
    async with dashboard() as seat:
        seat.client.failure = UnreachableError("The server does not answer.", hint="Try later.")
        await seat.press("left_square_bracket")
        await seat.sees("✖ The past could not be read")


async def test_nothing_is_drawn_without_news() -> None:
    """A picture that did not change reaches no terminal: the table refreshes no line."""
    async with dashboard() as seat:
        refreshed: list[object] = []
        table = fleet(seat).table
        original = table.refresh

        def counting(*regions: object, **options: object) -> object:
            refreshed.append(regions)
            return original(*regions, **options)  # type: ignore[arg-type]

        table.refresh = counting  # type: ignore[method-assign, assignment]
        for _ in range(3):
            seat.client.connection.send_hosts()
            await seat.tick(0)
        assert refreshed == []
        seat.client.rows[0] = msgspec.structs.replace(seat.client.rows[0], cpu=0.01)
        seat.client.connection.send_hosts()
        await seat.until(lambda: bool(refreshed), "one line drawn")


@pytest.mark.parametrize("size", [(79, 24), (80, 23), (40, 10), (20, 4)])
async def test_a_small_terminal_says_what_it_needs(size: tuple[int, int]) -> None:
    """Below 80×24 there is one clear sentence, and the dashboard comes back when the terminal grows."""
    async with dashboard(size=size, settled=False) as seat:
        await seat.sees("CyberCorp needs")
        assert "HOST" not in seat.text()
        await seat.pilot.resize_terminal(100, 30)
        await seat.sees("cache-14")


async def test_hostile_names_reach_the_screen_only_in_safe_form() -> None:
    """Escape sequences, markup, bidi and a name of a megabyte: no line grows, no control byte, no markup read."""
    rows = [
        summary(1, name="\x1b[2J\x1b]0;owned\x07", top_process="\x9b31m", labels={"[bold]": "[link=evil]x[/]"}),
        summary(2, name="a\u202eb\u2066c\u200b\ufeff", top_process="\r\nroot"),
        summary(3, name="x" * 1_000_000),
        summary(4, name="[red]not red[/red]"),
    ]
    async with dashboard(rows, size=(200, 30)) as seat:
        text = seat.text()
        assert all(line.isprintable() for line in text.split("\n"))
        assert "[red]not red[/red]" in text
        assert "[link=evil]x[/]" in text
        assert max(len(line) for line in seat.lines()) <= 200
        await seat.press("colon", *"red")
        await seat.sees("host [red]not red[/red]")


async def test_the_supervisors_notices_are_shown() -> None:
    """A toast and the header say what the supervisor says."""
    told = [["agent stopped (exit 1), restarting in 2 s\x1b[0m"]]
    async with dashboard(notices=lambda: told.pop() if told else []) as seat:
        seat.app._tick()
        await seat.sees("agent stopped (exit 1), restarting in 2 s\\x1b[0m")
        assert "agent stopped" in seat.lines()[0]
        await seat.tick(60)
        assert "agent stopped" not in seat.lines()[0]


async def test_ascii_terminals_get_ascii_only() -> None:
    """Without UTF-8 every glyph of ours has a stand-in."""
    async with dashboard(ascii_glyphs=True) as seat:
        assert seat.text().isascii()


async def test_q_quits_from_anywhere() -> None:
    """One key, no question."""
    async with dashboard() as seat:
        await seat.press("question_mark", "q")
        await seat.until(lambda: not seat.app.is_running or seat.app._exit, "quit")


async def test_the_join_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialog says how long the command is good for."""
    async with dashboard(2) as seat:
        assert seat.clock.now_ms() == START_MS
        await seat.press("c")
        await seat.sees("Good for one host within 1h")
