"""A server that serves a recording, in a thread of its own; and a small history whose every instant is known."""

from __future__ import annotations

import asyncio
import random
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.events import AgentEvent, Severity
from cybercorp.protocol.hosts import HostsWindow
from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.credentials import Credential, read_credential
from cybercorp.server.main import listen
from cybercorp.server.recordings import serve_recording
from tests.integration.serving import SMALL, AgentPeer, ServerThread, ShiftedClock
from tests.stack import is_ready, wait_until

LARGER = make_catalogue([*SMALL.series, Series(name="hw.temperature", attributes={"sensor": "package"}, unit="Cel")])
HOSTS = ("db-1", "web-1")
HOLE = range(12, 24)  # seconds in which db-1 sends nothing
LARGE = range(20, 35)  # seconds in which web-1 has one series more


class Moment(NamedTuple):
    """What was live at an instant: the fleet as the server showed it, and each host's newest process table."""

    at_ms: int
    window: HostsWindow
    rows: dict[str, tuple[float, ...]]
    tables: dict[str, ProcessTable]


class Tape:
    """Feeds a server second by second with random rows, and remembers what it showed."""

    def __init__(self, server: ServerThread, clock: ShiftedClock, seed: int) -> None:
        self._server = server
        self._clock = clock
        self._draw = random.Random(seed)
        self._counters = {name: [0.0, 0.0] for name in HOSTS}
        self._agents = {name: server.agent(name) for name in HOSTS}
        for agent in self._agents.values():
            agent.announce(SMALL)
            agent.announce(LARGER)
        self.rows = 0
        self.moments: list[Moment] = []

    def record(self, first: int, last: int) -> None:
        """Seconds `first` to `last` of two hosts: a hole in one, another catalogue in the other, tables."""
        before = self.moments[-1] if self.moments else None
        rows = dict(before.rows) if before else {}
        tables = dict(before.tables) if before else {}
        for second in range(first, last):
            self._clock.shift_s += 1.0
            at_ms = self._clock.now_ms()
            for name, agent in self._agents.items():
                if name == "db-1" and second in HOLE:
                    continue
                catalogue = LARGER if name == "web-1" and second in LARGE else SMALL
                rows[name] = self._row(name, catalogue)
                records = [self._record(agent, at_ms, RecordType.SAMPLES, catalogue.id, _packed(rows[name]))]
                self.rows += 1
                if second % 10 == 3:
                    tables[name] = self._table(at_ms)
                    body = msgspec.msgpack.encode(tables[name])
                    records.append(self._record(agent, at_ms, RecordType.PROCESSES, "", body))
                if second % 7 == 2:
                    told = AgentEvent(kind="monitor.failed", severity=Severity.WARNING, message=f"Second {second}.")
                    records.append(self._record(agent, at_ms, RecordType.EVENT, "", msgspec.msgpack.encode(told)))
                agent.send_records(records)
            self._await_stored(self._agents, at_ms)
            window = msgspec.json.decode(self._server.http.get("/api/v1/fleet").content, type=HostsWindow)
            self.moments.append(Moment(at_ms, window, dict(rows), dict(tables)))

    def close(self) -> None:
        for agent in self._agents.values():
            agent.close()

    def _await_stored(self, agents: dict[str, AgentPeer], at_ms: int) -> None:
        services = self._server.services
        for name, agent in agents.items():
            host = services.fleet.find(name)
            assert host is not None
            key = host.key
            wait_until(
                lambda key=key, agent=agent: services.store.acked_seq(key, agent.stream) >= agent.seq,  # type: ignore[misc]
                f"{name}'s row of {at_ms}",
            )

    def _row(self, name: str, catalogue: Catalogue) -> tuple[float, ...]:
        counters = self._counters[name]
        for place in (0, 1):
            counters[place] += self._draw.randrange(100_000)
        gauges = [round(self._draw.random(), 3) for _ in range(4)]
        return (*gauges, *counters, *([41.5] if catalogue is LARGER else []))

    def _table(self, at_ms: int) -> ProcessTable:
        count = self._draw.randrange(1, 5)
        return ProcessTable(
            timestamp_ms=at_ms,
            total=100 + count,
            partial=True,
            pid=[10 + n for n in range(count)],
            parent=[1] * count,
            name=[f"worker-{self._draw.randrange(100)}" for _ in range(count)],
            command=["worker --run"] * count,
            user=["shop"] * count,
            state=["R"] * count,
            cpu=[round(self._draw.random() * 2, 3) for _ in range(count)],
            cpu_time_s=[float(n) for n in range(count)],
            rss_bytes=[self._draw.randrange(1 << 30) // 1024 * 1024 for _ in range(count)],
            threads=[2] * count,
            read_bytes=[None] * count,
            write_bytes=[4096] * count,
            read_rate=[None] * count,
            write_rate=[0.5] * count,
            started_at_ms=[at_ms - 60_000] * count,
        )

    @staticmethod
    def _record(agent: AgentPeer, at_ms: int, kind: RecordType, catalogue: str, body: bytes) -> Record:
        agent.seq += 1
        return Record(agent.seq, at_ms, kind, catalogue, body)


def _packed(values: tuple[float, ...]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def series_named(catalogue: Catalogue, kind: MetricKind) -> list[str]:
    """The keys of the series of a kind."""
    return [one.key for one in catalogue.series if one.kind is kind]


@contextmanager
def recording_server(path: Path, folder: Path) -> Iterator[Credential]:
    """Serve a recording until the block ends. Raises what the server raised where it cannot be opened."""
    listener, loop, stop = listen("127.0.0.1", 0), asyncio.new_event_loop(), asyncio.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(serve_recording(path, folder, listener, stop=stop))
        except CyberCorpError as error:
            failures.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            listener.close()

    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: not thread.is_alive() or is_ready(url), "the recording is served")
        if failures:
            raise failures[0]
        found = read_credential(folder / "owner.json")
        assert found is not None
        yield found
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
