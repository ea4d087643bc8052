"""A small fleet behind a fake HTTP server on a real socket, and the command line pointed at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from cybercorp.cli.main import run
from cybercorp.protocol.agents import Enrolment, EnrolmentRequest
from cybercorp.protocol.events import Event, EventsPage, Severity
from cybercorp.protocol.hosts import Host, HostChange, HostFacts, HostState, HostSummary
from cybercorp.protocol.metrics import MetricDescription, MetricKind, QueryAnswer, SeriesPoints
from cybercorp.protocol.processes import HostProcesses, ProcessTable
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.protocol.servers import ServerInfo, ServerStorage
from tests.fakes.http import Answer, Asked, FakeHttp, problem

NOW_MS = 1_800_000_000_000
HOSTILE = "evil\x1b]0;PWN\x07\u202e"


def host(name: str, cpu: float | None, state: HostState = HostState.ONLINE, **labels: str) -> Host:
    """A host with a summary."""
    summary = HostSummary(id=f"h-{name}", name=name, state=state, cpu=cpu, memory=0.5, disk=0.95, load=1.25)
    facts = HostFacts(os_description="Debian 12", cpu_count=4, memory_bytes=8 << 30, addresses=["10.0.0.1"])
    return Host(
        id=f"h-{name}", name=name, state=state, joined_at_ms=NOW_MS, labels=labels, summary=summary, facts=facts
    )


class Shown(NamedTuple):
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Fleet:
    """The fake server's content, and what it was asked."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.hosts = [host("db-1", None, HostState.OFFLINE), host("web-1", 0.87, env="prod"), host("web-2", 0.02)]
        self.metrics = [
            MetricDescription(name="system.cpu.utilization", unit="1", kind=MetricKind.GAUGE, alias="cpu", hosts=2),
            MetricDescription(
                name="system.disk.io",
                unit="By",
                kind=MetricKind.COUNTER,
                attributes={"device": ["sda", "sdb", "sdc", "sdd", "sde"], "direction": ["read", "write"]},
            ),
        ]
        self.partial = False
        self.series = [self.points("web-1", [0.1, 0.5, None, 0.9]), self.points("web-2", [0.2, 0.2, 0.2, 0.2])]
        self.events = [
            Event(id=n, time_ms=NOW_MS + n * 1000, kind="host.joined", severity=Severity.INFO, message=f"event {n}")
            for n in range(1, 4)
        ]
        self.table = ProcessTable(
            timestamp_ms=NOW_MS,
            total=2,
            pid=[1, 20],
            parent=[0, 1],
            name=["init", HOSTILE],
            command=["/sbin/init", HOSTILE],
            user=["root", "shop"],
            state=["S", "R"],
            cpu=[None, 1.5],
            cpu_time_s=[10.0, 3700.0],
            rss_bytes=[1 << 20, 1 << 30],
            threads=[1, 12],
            read_bytes=[None, 5],
            write_bytes=[None, 5],
            read_rate=[None, 2048.0],
            write_rate=[None, 0.0],
            started_at_ms=[NOW_MS, NOW_MS],
        )
        self.start_ms, self.points_count = NOW_MS, 4
        self._capsys = capsys
        self.server = FakeHttp(self._answer)

    def points(self, name: str, values: list[float | None], **attributes: str) -> SeriesPoints:
        """One series of an answer."""
        return SeriesPoints(
            host=name,
            host_id=f"h-{name}",
            name="system.cpu.utilization",
            attributes=attributes,
            unit="1",
            kind=MetricKind.GAUGE,
            values=values,
        )

    def run(self, *arguments: str) -> Shown:
        """One command line against this fleet."""
        self._capsys.readouterr()
        code = run(["--url", self.server.url, *arguments])
        shown = self._capsys.readouterr()
        return Shown(code, shown.out, shown.err)

    def asked(self, method: str = "GET") -> list[Asked]:
        """The requests of one method."""
        return [one for one in self.server.asked if one.method == method]

    def _answer(self, asked: Asked) -> Answer:
        parts = asked.path.removeprefix("/api/v1/").split("/")
        match asked.method, parts:
            case "GET", ["hosts"]:
                return Answer(self._selected(asked))
            case "GET", ["hosts", name, "processes"]:
                return Answer(HostProcesses(host=name, host_id=f"h-{name}", live=True, table=self.table))
            case _, ["hosts", name]:
                return self._one_host(asked, name)
            case "GET", ["metrics"]:
                return Answer(self.metrics)
            case "GET", ["metrics", "query"]:
                return Answer(
                    QueryAnswer(
                        start_ms=self.start_ms,
                        step_ms=5000,
                        points=self.points_count,
                        aggregation="avg",
                        series=self.series,
                    )
                )
            case "GET", ["events"]:
                return Answer(self._events(asked))
            case "GET", ["server"]:
                return Answer(self._info())
            case "POST", ["agents", "enrolments"]:
                return Answer(self._enrolment(asked))
        return problem(404, "not_found")

    def _selected(self, asked: Asked) -> list[Host]:
        selectors = [parse_host_selector(value) for key, value in asked.query if key == "selector"]
        query = dict(asked.query)
        begin = int(query.get("offset", 0))
        found = [
            one
            for one in self.hosts
            if not selectors
            or any(s.matches(one.name, one.labels, state=one.state, values=one.latest) for s in selectors)
        ]
        return found[begin : begin + int(query.get("limit", 1000))]

    def _one_host(self, asked: Asked, name: str) -> Answer:
        found = next((one for one in self.hosts if name in (one.name, one.id)), None)
        if found is None:
            return problem(404, "host_not_found", f"There is no host '{name}'.", "Did you mean 'web-1'?")
        if asked.method == "DELETE":
            self.hosts.remove(found)
            return Answer(status=204, body=b"")
        if asked.method == "PATCH":
            change = msgspec.json.decode(asked.body, type=HostChange)
            labels = {key: value for key, value in {**found.labels, **change.labels}.items() if value is not None}
            return Answer(msgspec.structs.replace(found, labels=labels, name=change.name or found.name))
        return Answer(found)

    def _events(self, asked: Asked) -> EventsPage:
        query = dict(asked.query)
        before = int(query.get("before", 10**9))
        chosen = [event for event in self.events if event.id < before][-int(query["limit"]) :]
        return EventsPage(epoch="e1", events=chosen)

    def _enrolment(self, asked: Asked) -> Enrolment:
        count = msgspec.json.decode(asked.body, type=EnrolmentRequest).count
        return Enrolment(tokens=[f"cce_secret_{number}" for number in range(count)], expires_at_ms=NOW_MS)

    def _info(self) -> ServerInfo:
        return ServerInfo(
            version="0.1.0",
            protocol=1,
            instance="i",
            started_at_ms=NOW_MS,
            clock_ms=NOW_MS + 3_700_000,
            hosts=3,
            agents_connected=2,
            viewers_connected=0,
            samples_per_second=250.0,
            commit_p99_ms=4.2,
            storage=ServerStorage(oldest_ms=NOW_MS, samples_total=1000, samples_bytes=1 << 20),
            partial=self.partial,
        )


@pytest.fixture
def fleet(capsys: pytest.CaptureFixture[str]) -> Iterator[Fleet]:
    """Three hosts, two metrics, three events, one hostile process."""
    made = Fleet(capsys)
    with made.server:
        yield made
