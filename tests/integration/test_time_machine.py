"""What was live is seen again: by the server's past, by a recording of it, and on every screen of the dashboard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from cybercorp import AsyncClient, Client
from cybercorp.client.recordings import RecordingInfo, read_recording
from cybercorp.core.errors import (
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    LimitExceededError,
    MalformedMessageError,
    NotFoundError,
    TimeExpressionError,
)
from cybercorp.protocol.hosts import HostState, HostSummary
from cybercorp.security.credentials import Credential
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.events import EventsScreen
from cybercorp.tui.screens.fleet import FleetScreen
from cybercorp.tui.screens.host import HostScreen
from cybercorp.tui.session import Session
from cybercorp.tui.state.fleet import FleetRow
from tests.integration.recorded import HOSTS, LARGER, Moment, Tape, recording_server
from tests.integration.serving import ServerThread, ShiftedClock

SECONDS = 45
SHOWN = ("cpu", "memory", "disk", "load", "network_receive", "network_transmit", "top_process", "top_process_cpu")


class Past(NamedTuple):
    """A server's history, a recording of all of it, and what was live."""

    server: Credential
    copy: Credential
    path: Path
    info: RecordingInfo
    moments: list[Moment]
    clock: ShiftedClock

    @property
    def span(self) -> tuple[int, int]:
        return self.moments[0].at_ms, self.moments[-1].at_ms


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """A history of three quarters of a minute, partly sealed into chunks, and its recording, both served."""
    folder = tmp_path_factory.mktemp("time-machine")
    clock = ShiftedClock()
    path = folder / "incident.ccrec"
    with ServerThread(folder / "server", clock) as server:
        tape = Tape(server, clock, seed=11)
        tape.record(0, SECONDS // 2)
        server.services.store.seal(everything=True)
        tape.record(SECONDS // 2, SECONDS)
        tape.close()
        clock.shift_s += 1
        own = Credential(url=server.url, token=server.token)
        with Client(own.url, token=own.token) as client:
            first, last = tape.moments[0].at_ms, tape.moments[-1].at_ms
            info = client.recordings.save(path, since=first, until=last)
            assert info.rows == tape.rows
        with recording_server(path, folder / "copy") as copy:
            yield Past(own, copy, path, info, tape.moments, clock)


def instants(past: Past, count: int, seed: int) -> list[int]:
    """Random instants of the history, and its two ends."""
    draw = random.Random(seed)
    first, last = past.span
    return [first, last, *(draw.randrange(first, last) for _ in range(count))]


def moment_at(past: Past, at_ms: int) -> Moment:
    """What was live at an instant: what the newest look before it saw."""
    return [one for one in past.moments if one.at_ms <= at_ms][-1]


def assert_like_live(row: HostSummary | FleetRow, then: HostSummary, at_ms: int) -> None:
    """A replayed row says what the live one said; for a host that had fallen silent, how long it was."""
    if row.state is HostState.ONLINE:
        for name in SHOWN:
            shown, live = getattr(row, name), getattr(then, name)
            assert shown == live or (not shown and live is None), (at_ms, name)  # the table has no None in its texts
    else:
        assert row.seen_at_ms is not None
        assert at_ms - row.seen_at_ms > 4_000


def client_of(credential: Credential) -> Client:
    return Client(credential.url, token=credential.token)


def test_the_fleet_at_random_instants_is_what_was_live(past: Past) -> None:
    """Every number of every host equals what the live window showed then; a silent host is not shown as present."""
    with client_of(past.server) as client:
        for at_ms in instants(past, 25, seed=1):
            then = {row.name: row for row in moment_at(past, at_ms).window.rows}
            window = client.hosts.window(at_ms=at_ms)
            assert {row.name for row in window.rows} == {name for name in HOSTS if name in then}
            for row in window.rows:
                assert_like_live(row, then[row.name], at_ms)


def test_a_recording_answers_as_its_server_did(past: Past) -> None:
    """Fleet, values, curves, processes and events of random instants: the same answers, from a file."""
    with client_of(past.server) as server, client_of(past.copy) as copy:
        first, last = past.span
        for at_ms in instants(past, 8, seed=2):
            assert copy.hosts.window(at_ms=at_ms) == server.hosts.window(at_ms=at_ms)
            for host in HOSTS:
                for ask in ("latest", "processes"):
                    answers = [_answer(client, ask, host, at_ms) for client in (server, copy)]
                    assert answers[0] == answers[1], (ask, host, at_ms)
        for metric in ("cpu", "net", "system.*"):
            one, other = (
                client.metrics.query(metric, since=first, until=last + 1, step=7_000).answer
                for client in (server, copy)
            )
            assert one.series == other.series
        pages = [client.events.list(since_ms=first, until_ms=last + 1, limit=1000).events for client in (server, copy)]
        assert pages[0] == pages[1]
        assert pages[0]


def _answer(client: Client, ask: str, host: str, at_ms: int) -> object:
    try:
        return client.hosts.latest(host, at_ms) if ask == "latest" else client.processes.list(host, at_ms)
    except NotFoundError as error:
        return error.error_code


def test_a_recording_says_what_it_holds(past: Past) -> None:
    """The file's own summary, read back, is that of the export, and its numbers are those of the history."""
    assert read_recording(past.path) == past.info
    assert [host.name for host in past.info.hosts] == sorted(HOSTS)
    assert past.info.series == len(LARGER.series) + len(LARGER.series) - 1
    assert past.info.size_bytes == past.path.stat().st_size


def test_a_recording_cannot_be_changed(past: Past) -> None:
    """No host joins it, none is renamed or removed, and the answer says why."""
    with client_of(past.copy) as client:
        with pytest.raises(ForbiddenError, match="recording"):
            client.agents.create_enrolment()
        with pytest.raises(ForbiddenError, match="recording"):
            client.hosts.label("web-1", {"a": "b"})
        with pytest.raises(ForbiddenError, match="recording"):
            client.hosts.remove("web-1")


def test_an_export_that_fails_leaves_no_file(past: Past, tmp_path: Path) -> None:
    """Too large, no such host, an impossible span, a file that is there: an error, and nothing half-written."""
    first, last = past.span
    there = tmp_path / "there.ccrec"
    there.write_bytes(b"mine")
    cases: list[tuple[dict[str, object], type[CyberCorpError]]] = [
        ({"path": tmp_path / "a", "max_bytes": 1000}, LimitExceededError),
        ({"path": tmp_path / "b", "hosts": "nobody-1"}, NotFoundError),
        ({"path": tmp_path / "c", "hosts": "nobody-*"}, NotFoundError),
        ({"path": tmp_path / "d", "until": first - 1}, TimeExpressionError),
        ({"path": there}, ConflictError),
    ]
    with client_of(past.server) as client:
        for change, kind in cases:
            with pytest.raises(kind):
                client.recordings.save(**{"since": first, "until": last, **change})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "another file"])
def test_a_damaged_file_is_refused_by_name(past: Past, tmp_path: Path, change: str) -> None:
    """Neither `--info` nor the server opens it; both say that it is damaged, or no recording."""
    data = bytearray(past.path.read_bytes())
    if change == "cut":
        data = data[: len(data) // 2]
    elif change == "flip":
        data[len(data) // 2] ^= 4
    else:
        data = bytearray(b"" if change == "empty" else b"\x7fELF" * 99)
    path = tmp_path / "bad.ccrec"
    path.write_bytes(data)
    with pytest.raises(MalformedMessageError):
        read_recording(path)
    with pytest.raises(MalformedMessageError), recording_server(path, tmp_path / "copy"):
        pass


@asynccontextmanager
async def dashboard(
    past: Past, credential: Credential, *, at_ms: int | None = None, recorded: tuple[int, int] | None = None
) -> AsyncIterator[DashboardApp]:
    """The real dashboard over a real server."""
    session = Session(
        lambda: AsyncClient(credential.url, token=credential.token), past.clock, at_ms=at_ms, recorded=recorded
    )
    app = DashboardApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.connection.is_open, "connected")
        await pilot.pause()
        yield app


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(15):
            while not holds():  # noqa: ASYNC110 - the program under test has its own events
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never {what}") from None


async def show(app: DashboardApp, at_ms: int) -> DashboardScreen:
    """The screen in front, when it has drawn this instant."""
    front = app.front
    assert front is not None
    front.go_to(at_ms)
    await until(lambda: front.shown_at_ms == at_ms and not front.catching_up, f"shown {at_ms}")
    return front


@pytest.mark.parametrize("source", ["server", "copy"])
async def test_every_screen_at_random_instants_is_what_was_live(past: Past, source: str) -> None:
    """Fleet, host, processes and events, from a server's past and from a recording, in any order of instants."""
    copied = source == "copy"
    credential = past.copy if copied else past.server
    at_first = None if copied else past.span[0]
    async with dashboard(past, credential, at_ms=at_first, recorded=past.span if copied else None) as app:
        for at_ms in instants(past, 3, seed=3):
            fleet = await show(app, at_ms)
            assert isinstance(fleet, FleetScreen)
            then = {row.name: row for row in moment_at(past, at_ms).window.rows}
            for row in fleet.model.rows.values():
                assert_like_live(row, then[row.name], at_ms)
        app.open_host("web-1")
        await until(lambda: isinstance(app.front, HostScreen), "a host")
        await until(lambda: app.front is not None and app.front.time_host is not None, "known")
        for at_ms in instants(past, 4, seed=4):
            screen = await show(app, at_ms)
            assert isinstance(screen, HostScreen)
            moment, view = moment_at(past, at_ms), screen.board.view
            values = [view.metrics.value(slot) for slot in range(len(view.metrics.catalogue.keys))]
            assert tuple(values) == moment.rows["web-1"], at_ms
            table = moment.tables.get("web-1")
            shown = view.processes
            assert shown.known is (table is not None), at_ms
            if table is not None:
                assert shown.table == table
        app.action_show_events()
        await until(lambda: isinstance(app.front, EventsScreen), "the events")
        for at_ms in instants(past, 2, seed=5):
            events = await show(app, at_ms)
            assert isinstance(events, EventsScreen)
            with client_of(past.server) as client:
                since = 0 if source == "server" else past.span[0] - 360_000
                page = await asyncio.to_thread(client.events.list, until_ms=at_ms + 1, limit=1000)
                wanted = [one.id for one in page.events if one.time_ms >= since]
            model, count = events.model, len(wanted)
            await until(lambda model=model, count=count: model.loaded >= count, "all events")  # type: ignore[misc]
            assert events.model.loaded == len(wanted)
            assert events.model.oldest_id == (wanted[0] if wanted else None)
