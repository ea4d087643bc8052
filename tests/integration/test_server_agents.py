"""The agents' socket: what is acknowledged is durable, what is wrong is said, what is hostile hurts nobody."""

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cybercorp.bench.wire import frame
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.agents import Acknowledge, Hello, Record, Records, RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.server.services.allowance import Allowance
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from tests.integration.serving import SMALL, AgentPeer, ServerThread, ShiftedClock, now_ms, row
from tests.stack import wait_until

OTHER = make_catalogue([*SMALL.series, Series(name="hw.temperature", unit="Cel", attributes={"name": "cpu"})])
DAY_MS = 86_400_000


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path: Path, clock: ShiftedClock) -> Iterator[ServerThread]:
    """A server without hosts whose clock a test may set, on either database."""
    url = request.getfixturevalue("fresh_database_url") if request.param == "postgresql" else None
    with ServerThread(tmp_path, clock, database_url=url) as running:
        yield running


def acknowledged(agent: AgentPeer, seq: int) -> None:
    """Wait until everything up to `seq` is acknowledged."""
    while agent.expect(Acknowledge).seq < seq:
        pass


def stored(server: ServerThread, host: str) -> float:
    """How many samples of the load average are stored of a host."""
    answer = server.get(
        "/api/v1/metrics/query",
        metric="load",
        selector=host,
        start_ms=now_ms() - 2 * DAY_MS,
        end_ms=now_ms() + 2 * DAY_MS,
        step_ms=4 * DAY_MS,
        aggregation="count",
    )
    return sum(value or 0 for one in answer["series"] for value in one["values"])


def event_record(seq: int, message: str = "hello", time_ms: int | None = None, **fields: Any) -> Record:
    event = AgentEvent(kind="monitor.failed", severity=Severity.WARNING, message=message, **fields)
    return Record(seq, now_ms() if time_ms is None else time_ms, RecordType.EVENT, "", msgspec.msgpack.encode(event))


def test_what_is_acknowledged_is_in_the_file(tmp_path: Path) -> None:
    """Hello, catalogue, samples, acknowledgement; afterwards another program finds the rows in the store's file."""
    with ServerThread(tmp_path) as server, server.agent("a") as agent:
        agent.announce()
        last = agent.samples(0.1, 0.2, 0.3)
        acknowledged(agent, last)
        key = server.services.fleet.find("a").key  # type: ignore[union-attr]
    store = TimeSeries.open(tmp_path / "samples.db", TimeSeriesSettings(), SystemClock())
    try:
        assert store.acked_seq(key, agent.stream) == 3
        latest = store.latest(key)
        assert latest is not None
        assert latest.body == row(0.3)
    finally:
        store.close()


def test_a_new_connection_goes_on_where_the_last_one_was(server: ServerThread) -> None:
    """Welcome tells what is durable; what comes twice is acknowledged and stored once; another stream begins at 0."""
    agent = server.agent("a")
    agent.announce()
    acknowledged(agent, agent.samples(0.1, 0.2, 0.3))
    agent.close()
    wait_until(lambda: not server.services.agents.find(1), "the end of the first connection")
    again = AgentPeer(server.url, agent.token)
    again.stream = agent.stream
    assert again.greet(stream=agent.stream).acked_seq == 3
    again.announce()
    again.samples(0.1, 0.2, 0.3, 0.4, seq=1)
    acknowledged(again, 4)
    assert stored(server, "a") == 4
    again.close()
    wait_until(lambda: not server.services.agents.find(1), "the end of the second connection")
    with server.agent("a", agent.token) as fresh:
        assert fresh.seq == 0


def test_an_event_that_comes_twice_is_noted_once(server: ServerThread) -> None:
    """Sent again before its acknowledgement: one event."""
    with server.agent("a") as agent:
        records = [event_record(1), event_record(2, "second")]
        for _ in range(3):
            agent.send_records(records)
        acknowledged(agent, 2)
        agent.send_records([event_record(3, "third")])
        acknowledged(agent, 3)
        messages = [one["message"] for one in server.events("monitor.failed")]
        assert messages == ["hello", "second", "third"]


def test_a_flood_of_events(server: ServerThread) -> None:
    """All are acknowledged, a thousand are kept, and one event says so."""
    with server.agent("a") as agent:
        for start in range(1, 1501, 500):
            agent.send_records([event_record(seq) for seq in range(start, start + 500)])
        acknowledged(agent, 1500)
        told = server.wait_for_event(EventKind.AGENT_REFUSED, "a")
        assert len(told) == 1
        pages = server.get("/api/v1/events", kind="monitor.failed", limit=1000)
        assert 900 < len(pages["events"]) <= 1000


def test_samples_of_an_unknown_catalogue_are_not_lost(server: ServerThread) -> None:
    """A problem asks for the catalogue; nothing behind the gap is taken before it was sent again from there."""
    with server.agent("a") as agent:
        agent.announce()
        acknowledged(agent, agent.samples(0.1))
        agent.samples(0.2, catalogue=OTHER)
        agent.samples(0.3)  # seq 3, was on its way: must not be taken before 2
        said = agent.expect(Problem)
        assert said.code == "unknown_catalogue"
        agent.announce(OTHER)
        agent.samples(0.2, catalogue=OTHER, seq=2)
        agent.samples(0.3, seq=3)
        acknowledged(agent, 3)
        wait_until(lambda: stored(server, "a") == 3, "all three rows")


def test_what_precedes_an_unknown_catalogue_counts(server: ServerThread) -> None:
    """In one message: what came before the gap is acknowledged, once it is durable."""
    with server.agent("a") as agent:
        agent.announce()
        good = Record(1, now_ms(), RecordType.SAMPLES, SMALL.id, row())
        bad = Record(3, now_ms() + 1, RecordType.SAMPLES, OTHER.id, row(catalogue=OTHER))
        agent.send_records([good, event_record(2), bad])
        assert agent.expect(Problem).code == "unknown_catalogue"
        acknowledged(agent, 2)
        agent.announce(OTHER)
        agent.send_records([good, event_record(2), bad])
        acknowledged(agent, 3)
        assert len(server.events("monitor.failed")) == 1
        assert stored(server, "a") == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", "malformed_message"),
        (b"", "malformed_message"),
        ("text", "malformed_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "agent.dance", "payload": {}}), "unknown_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "live.subscribe", "payload": {}}), "unknown_message"),
        (msgspec.msgpack.encode({"v": 9, "kind": "agent.records", "payload": {}}), "version_mismatch"),
        (msgspec.msgpack.encode({"v": 1, "kind": "agent.records", "payload": {"records": 5}}), "malformed_message"),
        (b"\x81" * 100_000, "malformed_message"),
    ],
)
def test_malformed_messages(server: ServerThread, data: bytes | str, code: str) -> None:
    """A problem, the end of the connection with 1007 (1008 for another version), and an event; the server goes on."""
    with server.agent("a") as agent:
        agent.socket.send(data)
        closed, reason, heard = agent.wait_closed()
        assert closed == (1008 if code == "version_mismatch" else 1007)
        assert reason.startswith(code)
        assert [one.payload.code for one in heard if one.kind == "problem"] == [code]
    refused = server.wait_for_event(EventKind.AGENT_REFUSED, "a")
    assert refused[0]["severity"] == "warning"
    server.agent("b").close()


def wrong_records() -> dict[str, list[Record]]:
    short = struct.pack("<d", 1.0)
    uneven = msgspec.msgpack.encode(ProcessTable(timestamp_ms=1, total=1, pid=[1, 2], name=["a"]))
    return {
        "a row too short": [Record(1, now_ms(), RecordType.SAMPLES, SMALL.id, short)],
        "an empty row": [Record(1, now_ms(), RecordType.SAMPLES, SMALL.id, b"")],
        "an unknown type": [Record(1, now_ms(), 77, "", b"")],
        "an event that is none": [Record(1, now_ms(), RecordType.EVENT, "", b"\xc1")],
        "a table that is none": [Record(1, now_ms(), RecordType.PROCESSES, "", b"\x90")],
        "uneven columns": [Record(1, now_ms(), RecordType.PROCESSES, "", uneven)],
        "too many records": [Record(i, 1, 77, "", b"") for i in range(1, 5000)],
    }


@pytest.mark.parametrize("what", sorted(wrong_records()))
def test_wrong_records(server: ServerThread, what: str) -> None:
    """Records that can never be stored end the connection with 1007 and say why."""
    with server.agent("a") as agent:
        agent.announce()
        agent.send_records(wrong_records()[what])
        closed, reason, heard = agent.wait_closed()
        assert (closed, reason.partition(":")[0]) == (1007, "malformed_message")
        assert any(one.kind == "problem" for one in heard)


def test_extreme_numbers_hurt_nobody(server: ServerThread) -> None:
    """Times and sequence numbers at the ends of 64 bits: the server and the other agents go on."""
    largest = 2**63 - 1
    with server.agent("good") as good, server.agent("evil") as evil:
        good.announce()
        evil.announce()
        evil.send_records([event_record(1, time_ms=largest)])
        evil.send_records([event_record(2, time_ms=-largest)])
        for seq, at_ms in ((3, largest), (4, -largest), (largest, now_ms())):
            evil.send_records([Record(seq, at_ms, RecordType.SAMPLES, SMALL.id, row())])
        evil.send_records([Record(2**64 - 1, 2**64 - 1, RecordType.SAMPLES, SMALL.id, row())])
        evil.send_records([event_record(2**64 - 1, time_ms=2**64 - 1)])
        acknowledged(good, good.samples(0.1, 0.2))
        assert stored(server, "good") == 2
        times = [one["time_ms"] for one in server.events("monitor.failed")]
        assert len(times) >= 2
        assert all(abs(at - now_ms()) < 60_000 for at in times)


def test_an_unforeseen_failure_loses_nothing(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw inside a commit: what was taken is kept, stored and only then acknowledged."""
    broken = threading.Event()
    write = server.services.store.write

    def fail(rows: Any) -> Any:
        if not broken.is_set():
            broken.set()
            raise ValueError("nobody foresaw this")
        return write(rows)

    with server.agent("a") as agent:
        agent.announce()
        monkeypatch.setattr(server.services.store, "write", fail)
        agent.samples(0.1, 0.2)
        assert broken.wait(10)
        agent.samples(0.3)
        acknowledged(agent, 3)
        assert stored(server, "a") == 3


def test_a_message_that_is_too_large(server: ServerThread) -> None:
    """More than 256 KiB: closed with 1009 before it is read whole, and one event a minute about it."""
    token = server.join("a")
    for count in (1, 2):
        with server.agent("a", token) as agent:
            agent.socket.send(b"\x00" * (MAX_MESSAGE_BYTES + 1))
            assert agent.wait_closed()[0] == 1009
        server.wait_for_event(EventKind.HOST_DISCONNECTED, "a", count)
    (refused,) = server.events(EventKind.AGENT_REFUSED)
    assert "256 KiB" in refused["message"]
    server.agent("b").close()


@pytest.mark.parametrize(
    "hello",
    [{"stream": ""}, {"stream": "s" * 65}, {"interval_ms": 0}, {"interval_ms": 10**9}],
)
def test_a_wrong_hello(server: ServerThread, hello: dict[str, Any]) -> None:
    """Refused with a problem."""
    peer = AgentPeer(server.url, server.join("a"))
    fields = {"version": "1", "stream": "s", "oldest_seq": 0, "newest_seq": 0, "interval_ms": 1000, "clock_ms": 0}
    peer.send("agent.hello", Hello(**{**fields, **hello}))
    assert peer.wait_closed()[0] == 1007


def test_no_hello(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records before hello, a second hello, and silence: each ends the connection."""
    token = server.join("a")
    peer = AgentPeer(server.url, token)
    peer.send("agent.records", Records(records=[]))
    assert peer.wait_closed()[0] == 1007
    with server.agent("a", token) as agent:
        fields = {"version": "1", "stream": "s", "oldest_seq": 0, "newest_seq": 0, "interval_ms": 1000, "clock_ms": 0}
        agent.send("agent.hello", Hello(**fields))  # type: ignore[arg-type]
        assert agent.wait_closed()[0] == 1007
    monkeypatch.setattr("cybercorp.server.websocket.agents.HELLO_S", 0.1)
    silent = AgentPeer(server.url, token)
    code, reason, _ = silent.wait_closed()
    assert (code, "hello" in reason) == (1007, True)


def test_a_silent_agent_is_cut(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing heard for too long: closed, and its host is disconnected."""
    monkeypatch.setattr("cybercorp.server.websocket.agent_stream.SILENT_S", 0.1)
    monkeypatch.setattr("cybercorp.server.websocket.agent_stream.SILENCE_CHECK_S", 0.1)
    with server.agent("a", interval_ms=50) as agent:
        assert agent.wait_closed()[0] == 1001
    server.wait_for_event(EventKind.HOST_DISCONNECTED, "a")


def test_an_agent_that_pings_lives(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has nothing to send yet is not cut as long as its pings come."""
    monkeypatch.setattr("cybercorp.server.websocket.agent_stream.SILENT_S", 0.5)
    monkeypatch.setattr("cybercorp.server.websocket.agent_stream.SILENCE_CHECK_S", 0.05)
    with server.agent("a", interval_ms=50) as agent:
        for _ in range(30):
            assert agent.socket.ping().wait(5)
            threading.Event().wait(0.05)
        agent.announce()
        acknowledged(agent, agent.samples(0.5))
        assert agent.wait_closed()[0] == 1001


def test_what_follows_a_malformed_message_is_not_taken(server: ServerThread) -> None:
    """All in one segment: rows after a message that could not be taken are neither stored nor acknowledged."""
    with server.agent("a") as agent:
        agent.announce()
        acknowledged(agent, agent.samples(0.5))
        stream, seq = agent.stream, agent.seq
        records = [Record(seq + 2, now_ms(), RecordType.SAMPLES, SMALL.id, row())]
        agent.socket.socket.sendall(
            frame(b"\xc1") + frame(agent.codec.encode("agent.records", Records(records=records)))
        )
        assert agent.wait_closed()[0] == 1007
        server.wait_for_event(EventKind.HOST_DISCONNECTED, "a")
        assert server.services.store.acked_seq(1, stream) == seq
        assert stored(server, "a") == 1


def test_two_agents_with_one_credential(server: ServerThread, clock: ShiftedClock) -> None:
    """The second is refused while the first is heard; once the first is silent for ten seconds it takes over."""
    token = server.join("a")
    first = server.agent("a", token)
    second = AgentPeer(server.url, token)
    fields = {"version": "1", "stream": "x", "oldest_seq": 0, "newest_seq": 0, "interval_ms": 1000, "clock_ms": 0}
    second.send("agent.hello", Hello(**fields))  # type: ignore[arg-type]
    code, reason, heard = second.wait_closed()
    assert (code, reason.partition(":")[0]) == (1008, "agent_already_connected")
    assert heard[0].payload.code == "agent_already_connected"
    server.wait_for_event(EventKind.AGENT_REFUSED, "a")
    clock.shift_s += 11
    with server.agent("a", token) as third:
        code, reason, _ = first.wait_closed()
        assert (code, reason.partition(":")[0]) == (1008, "agent_already_connected")
        third.announce()
        acknowledged(third, third.samples(0.5))
        assert server.get("/api/v1/server")["agents_connected"] == 1
        assert not server.events(EventKind.HOST_DISCONNECTED)


def test_an_agent_that_connects_again_and_again_is_slowed_down(server: ServerThread, clock: ShiftedClock) -> None:
    """Each connection may bring a stream and events that are kept; beyond the allowance it is refused for a while."""
    token = server.join("a")
    for _ in range(60):
        server.agent("a", token).close()
        wait_until(lambda: not server.services.agents.find(1), "the end of the connection")
    tired = AgentPeer(server.url, token)
    fields = {"version": "1", "stream": "x", "oldest_seq": 0, "newest_seq": 0, "interval_ms": 1000, "clock_ms": 0}
    tired.send("agent.hello", Hello(**fields))  # type: ignore[arg-type]
    code, reason, _ = tired.wait_closed()
    assert (code, reason.partition(":")[0]) == (1008, "limit_exceeded")
    clock.shift_s += 61
    with server.agent("a", token) as rested:
        rested.announce()
        acknowledged(rested, rested.samples(0.5))


def test_connections_are_events(server: ServerThread) -> None:
    """Joined, connected, disconnected; a reboot and a clock that is wrong are told when an agent connects."""
    token = server.join("a")
    server.agent("a", token, facts=HostFacts(boot_id="1")).close()
    server.wait_for_event(EventKind.HOST_DISCONNECTED, "a")
    server.agent("a", token, facts=HostFacts(boot_id="2"), clock_ms=now_ms() - 3_600_000).close()
    server.wait_for_event(EventKind.HOST_DISCONNECTED, "a", count=2)
    kinds = [one["kind"] for one in server.events(host="a")]
    assert kinds == [
        "host.joined",
        "host.connected",
        "host.disconnected",
        "host.rebooted",
        "clock.stepped",
        "host.connected",
        "host.disconnected",
    ]
    (stepped,) = server.events(EventKind.CLOCK_STEPPED)
    assert "3600" in stepped["message"]
    assert "behind" in stepped["message"]
    assert server.get("/api/v1/hosts/a")["clock_offset_ms"] < -3_500_000


def test_samples_of_an_impossible_time(server: ServerThread) -> None:
    """Too far ahead or older than history: acknowledged, not stored, told once a minute."""
    with server.agent("a") as agent:
        agent.announce()
        agent.samples(0.1, at_ms=now_ms() + 3 * DAY_MS)
        agent.samples(0.2, at_ms=now_ms() - 30 * DAY_MS)
        agent.samples(0.3, at_ms=5)
        acknowledged(agent, agent.samples(0.4))
        assert stored(server, "a") == 1
        assert len(server.wait_for_event(EventKind.SAMPLES_DROPPED, "a")) == 1
        assert server.get("/api/v1/hosts/a/latest")["values"][0]["value"] == 0.4


def test_a_clock_that_is_set_back_with_another_catalogue(server: ServerThread) -> None:
    """Rows older than the newest, of another catalogue: stored, and the newest values stay whole."""
    with server.agent("a") as agent:
        agent.announce()
        agent.announce(OTHER)
        agent.samples(0.1)
        acknowledged(agent, agent.samples(0.2, catalogue=OTHER, at_ms=now_ms() - 100_000))
        values = server.get("/api/v1/hosts/a/latest")["values"]
        assert (len(values), values[0]["value"]) == (len(SMALL.series), 0.1)
        assert stored(server, "a") == 2


@pytest.mark.parametrize("what", ["a wrong id", "a name twice", "a name too long"])
def test_hostile_catalogues(server: ServerThread, what: str) -> None:
    """Refused with a problem."""
    one = Series(name="x")
    series = {"a wrong id": (one,), "a name twice": (one, one), "a name too long": (Series(name="x" * 256),)}[what]
    made = make_catalogue(series)
    with server.agent("a") as agent:
        agent.announce(msgspec.structs.replace(made, id="0" * 16) if what == "a wrong id" else made)
        assert agent.wait_closed()[0] in (1007, 1008)


def test_many_catalogues_stay_bounded(server: ServerThread) -> None:
    """An agent that announces ever new catalogues fills neither memory nor the store: only used ones are kept."""
    with server.agent("a") as agent:
        for number in range(200):
            agent.announce(make_catalogue([Series(name=f"metric.{number}")]))
        agent.announce()
        acknowledged(agent, agent.samples(0.5))
        link = server.services.agents.find(1)
        assert link is not None
        assert len(link.catalogues) <= 64
        assert not server.services.store.knows_catalogue(1, make_catalogue([Series(name="metric.1")]).id)


def test_names_that_never_end_are_dropped(server: ServerThread, clock: ShiftedClock) -> None:
    """A series-cardinality bomb: ever new catalogues that are used stop at an allowance; what was known goes on."""
    with server.agent("a") as agent:
        host = server.services.fleet.find("a")
        assert host is not None
        host.series = Allowance(3_000, 10)
        agent.announce()
        acknowledged(agent, agent.samples(0.5))
        bombs = [make_catalogue([Series(name=f"bomb.{n}.{one}") for one in range(1_000)]) for n in range(5)]
        for bomb in bombs[:4]:
            agent.announce(bomb)
            acknowledged(agent, agent.samples(0.5, catalogue=bomb))
        server.wait_for_event(EventKind.AGENT_REFUSED, "a")
        assert [server.services.store.knows_catalogue(host.key, one.id) for one in bombs] == [
            True,
            True,
            False,
            False,
            False,
        ]
        acknowledged(agent, agent.samples(0.25))
        assert host.catalogue is not None
        assert host.catalogue.id == SMALL.id
        clock.shift_s += 200
        agent.announce(bombs[4])
        acknowledged(agent, agent.samples(0.5, catalogue=bombs[4]))
        assert server.services.store.knows_catalogue(host.key, bombs[4].id)


def test_process_tables_are_recorded(server: ServerThread) -> None:
    """The top processes for history: asked for at an instant; the busiest is in the summary."""
    table = ProcessTable(
        timestamp_ms=now_ms(), total=9, partial=True, pid=[1, 2], parent=[0, 1], name=["a", "b"], command=["", ""],
        user=["", ""], state=["S", "R"], cpu=[0.1, 1.5], cpu_time_s=[1, 2], rss_bytes=[1, 2], threads=[1, 1],
        read_bytes=[0, None], write_bytes=[0, None], read_rate=[0, None], write_rate=[0, None], started_at_ms=[0, 0],
    )  # fmt: skip
    with server.agent("a") as agent:
        agent.announce()
        agent.samples(0.1)
        agent.seq += 1
        agent.send_records(
            [Record(agent.seq, table.timestamp_ms, RecordType.PROCESSES, "", msgspec.msgpack.encode(table))]
        )
        acknowledged(agent, 2)
        answer = server.get("/api/v1/hosts/a/processes", at_ms=now_ms())
        assert (answer["live"], answer["table"]["name"]) == (False, ["a", "b"])
        summary = server.get("/api/v1/hosts/a")["summary"]
        assert (summary["top_process"], summary["top_process_cpu"]) == ("b", 1.5)


def test_agents_may_speak_json(server: ServerThread) -> None:
    """The JSON subprotocol: text both ways."""
    peer = AgentPeer(server.url, server.join("a"), "json")
    with peer:
        assert peer.greet().name == "a"
        peer.announce()
        peer.samples(0.5)
        data = peer.socket.recv(10)
        assert isinstance(data, str)
        assert peer.codec.decode(data).payload.seq == 1
