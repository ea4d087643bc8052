"""The runner's loop with monitors that fail on purpose."""

import selectors
from array import array
from pathlib import Path

import msgspec
import pytest

from cybercorp.agent.log import Log
from cybercorp.agent.runner import Runner
from cybercorp.agent.schedule import Schedule
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.spool import Spool
from cybercorp.agent.uplink import Uplink
from cybercorp.agent.wake import Wake
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.monitors.processes import ProcessScanner
from cybercorp.monitors.sampler import Sampler
from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Catalogue, Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.security.credentials import Credential
from tests.fakes.server import FakeServer


class ScriptedSampler(Sampler):
    """Stops the agent after some samples; raises in those named; reports one event."""

    def __init__(self, wake: Wake, *, samples: int, failing: tuple[int, ...] = ()) -> None:
        self._wake_to_stop = wake
        self._left = samples
        self._failing = failing
        self.taken = 0
        self._pending = [AgentEvent(kind=EventKind.MONITOR_FAILED, severity=Severity.WARNING, message="gpu")]
        self._first = make_catalogue([Series(name="a")])
        self._second = make_catalogue([Series(name="a"), Series(name="b")])

    def sample(self) -> tuple[Catalogue, bytes]:
        self.taken += 1
        if self.taken >= self._left:
            self._wake_to_stop.stop()
        if self.taken in self._failing:
            raise ZeroDivisionError("a bug in a monitor")
        made = self._first if self.taken <= 2 else self._second
        return made, array("d", [1.0] * len(made.series)).tobytes()

    def take_events(self) -> list[AgentEvent]:
        taken, self._pending = self._pending, []
        return taken

    def close(self) -> None:
        pass


class Setup:
    """A runner with a real spool, loop and uplink."""

    def __init__(self, folder: Path, port: int, *, samples: int, failing: tuple[int, ...] = (), rejoin: bool = False):
        self.lines: list[str] = []
        clock = SystemClock()
        log = Log(clock, self.lines.append)
        settings = AgentSettings(interval_ms=100, top_processes=5, top_processes_interval_s=1)
        self.wake = Wake()
        self.selector = selectors.DefaultSelector()
        self.spool = Spool(folder, max_bytes=1 << 20, clock=clock, report=self.lines.append)
        self.uplink = Uplink(
            Credential(url=f"http://127.0.0.1:{port}", token="t"),
            self.spool,
            self.selector,
            self.wake,
            clock,
            log,
            interval_ms=100,
            read_facts=HostFacts,
            timeout_s=1,
        )
        self.sampler = ScriptedSampler(self.wake, samples=samples, failing=failing)
        self.runner = Runner(
            settings,
            sampler=self.sampler,
            scanner=ProcessScanner(clock),
            schedule=Schedule(100, clock),
            spool=self.spool,
            uplink=self.uplink,
            selector=self.selector,
            wake=self.wake,
            clock=clock,
            log=log,
            rejoin=rejoin,
        )

    def close(self) -> None:
        self.uplink.close()
        self.spool.close()
        self.selector.close()
        self.wake.close()


def _kinds(records: list[Record]) -> list[str]:
    return [
        msgspec.msgpack.decode(one.body, type=AgentEvent).kind
        if one.type == RecordType.EVENT
        else RecordType(one.type).name
        for one in records
    ]


def test_what_the_monitors_say_is_kept_in_order(tmp_path: Path) -> None:
    """Start, samples with their catalogue, events of the monitors, the top processes; nobody needs to listen."""
    setup = Setup(tmp_path, 1, samples=4)
    assert setup.runner.run() is None
    records = setup.spool.read_after(0, 1 << 20)
    kinds = _kinds(records)
    assert kinds[:4] == [EventKind.AGENT_STARTED, "SAMPLES", EventKind.MONITOR_FAILED, "PROCESSES"]
    assert kinds.count("SAMPLES") == 4
    samples = [one for one in records if one.type == RecordType.SAMPLES]
    assert [len(one.body) for one in samples] == [8, 8, 16, 16]
    assert setup.spool.catalogue(samples[0].catalogue) is not None
    assert setup.spool.catalogue(samples[3].catalogue) is not None
    setup.close()


def test_a_bug_in_a_monitor_does_not_end_the_agent(tmp_path: Path) -> None:
    """The tick is lost, counted and said once; the next ones are taken."""
    setup = Setup(tmp_path, 1, samples=5, failing=(2, 3))
    setup.runner.run()
    assert setup.runner.failed_ticks == 2
    assert _kinds(setup.spool.read_after(0, 1 << 20)).count("SAMPLES") == 3
    assert sum("a bug in a monitor" in line for line in setup.lines) == 1
    setup.close()


@pytest.mark.parametrize("rejoin", [True, False])
def test_a_refused_token_ends_the_loop_only_where_there_is_another_way_in(tmp_path: Path, rejoin: bool) -> None:
    """With an enrolment token at hand the agent joins again; without one it keeps trying and sampling."""
    with FakeServer() as server:
        server.rejecting = Problem(type="urn:x", title="t", status=401, code="unauthenticated", detail="Revoked.")
        setup = Setup(tmp_path, server.port, samples=1_000 if rejoin else 8, rejoin=rejoin)
        assert isinstance(setup.runner.run(), UnauthenticatedError) is rejoin
        assert (setup.sampler.taken < 1_000) is True
        setup.close()
