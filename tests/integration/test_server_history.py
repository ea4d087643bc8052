"""The past: the fleet, a host's values and its processes as they were at an instant."""

from collections.abc import Iterator

import msgspec
import pytest

from cybercorp.protocol.agents import Acknowledge, Record, RecordType
from cybercorp.protocol.processes import ProcessTable
from tests.integration.serving import AgentPeer, ServerThread, now_ms

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def begin_ms() -> int:
    return now_ms() - HOUR_MS


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, begin_ms: int
) -> Iterator[ServerThread]:
    """`a` sampled a minute an hour ago and again now, `b` only an hour ago; both had joined before."""
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else None
    with ServerThread(tmp_path_factory.mktemp("data"), database_url=url) as running:
        peers: list[AgentPeer] = []
        for name, level in (("a", 0.2), ("b", 0.6)):
            agent = running.agent(name)
            agent.announce()
            for second in range(60):
                agent.samples(level + second / 1000, at_ms=begin_ms + second * 1000)
            table = ProcessTable(
                timestamp_ms=begin_ms + 30_000, total=7, partial=True, pid=[7], parent=[1], name=[f"old-{name}"],
                command=[""], user=["u"], state=["R"], cpu=[0.9], cpu_time_s=[1.0], rss_bytes=[1], threads=[1],
                read_bytes=[None], write_bytes=[None], read_rate=[None], write_rate=[None], started_at_ms=[1],
            )  # fmt: skip
            agent.seq += 1
            body = msgspec.msgpack.encode(table)
            agent.send_records([Record(agent.seq, table.timestamp_ms, RecordType.PROCESSES, "", body)])
            if name == "a":
                agent.samples(0.9)
            while agent.expect(Acknowledge).seq < agent.seq:
                pass
            peers.append(agent)
        fleet = running.services.fleet
        for host in fleet.hosts:
            fleet.add(msgspec.structs.replace(host.row, joined_at_ms=begin_ms - HOUR_MS))
        yield running
        for agent in peers:
            agent.close()


def test_the_fleet_at_an_instant(server: ServerThread, begin_ms: int) -> None:
    """Summaries, states, history and the busiest process as they were; sorted, filtered and pinned like now."""
    at_ms = begin_ms + 45_000
    window = server.get("/api/v1/fleet", at_ms=at_ms, sort="cpu", descending="true")
    assert window["timestamp_ms"] == at_ms
    assert [(one["name"], one["cpu"], one["state"]) for one in window["rows"]] == [
        ("b", pytest.approx(0.645), "online"),
        ("a", pytest.approx(0.245), "online"),
    ]
    first = window["rows"][0]
    assert (first["top_process"], first["top_process_cpu"]) == ("old-b", 0.9)
    history = [one for one in msgspec.json.decode(f'"{first["cpu_history"]}"', type=bytes) if one != 255]
    assert 4 <= len(history) <= 6
    assert all(120 <= one <= 130 for one in history)
    chosen = server.get("/api/v1/fleet", at_ms=at_ms, selector="cpu>50", pinned=window["rows"][1]["id"])
    assert [one["name"] for one in chosen["rows"]] == ["b"]
    assert chosen["counts"]["total"] == 1
    assert chosen["pinned"] is None


def test_the_fleet_when_nothing_was_sent(server: ServerThread, begin_ms: int) -> None:
    """Some seconds after the last row a host was stale, later offline, and its numbers unknown."""
    rows = server.get("/api/v1/fleet", at_ms=begin_ms + 59_000 + 30_000)["rows"]
    assert [one["state"] for one in rows] == ["stale", "stale"]
    rows = server.get("/api/v1/fleet", at_ms=begin_ms + 20 * 60_000)["rows"]
    assert [(one["state"], one["cpu"], one["top_process"]) for one in rows] == [("offline", None, None)] * 2
    assert server.get("/api/v1/fleet", at_ms=begin_ms - 2 * HOUR_MS)["counts"]["total"] == 0


def test_a_host_at_an_instant(server: ServerThread, begin_ms: int) -> None:
    """Its values, and its recorded processes."""
    latest = server.get("/api/v1/hosts/a/latest", at_ms=begin_ms + 10_500)
    assert latest["timestamp_ms"] == begin_ms + 10_000
    assert latest["values"][0]["value"] == pytest.approx(0.21)
    assert server.get("/api/v1/hosts/a/latest")["values"][0]["value"] == 0.9
    table = server.get("/api/v1/hosts/b/processes", at_ms=begin_ms + 40_000)
    assert (table["live"], table["table"]["name"]) == (False, ["old-b"])
    for at_ms in (begin_ms + 20_000, begin_ms + 30_000 + 61_000):
        problem = server.http.get(f"/api/v1/hosts/b/processes?at_ms={at_ms}").json()
        assert (problem["code"], "was recorded at" in problem["hint"]) == ("no_processes", True)


def test_a_range(server: ServerThread, begin_ms: int) -> None:
    """Averages a step, a quantile, rates of counters with their unit, and null where nothing was sent."""
    asked = {"start_ms": begin_ms, "end_ms": begin_ms + 120_000, "step_ms": 30_000, "selector": "a"}
    answer = server.get("/api/v1/metrics/query", metric="cpu", **asked)
    (series,) = answer["series"]
    assert answer["points"] in (4, 5)
    assert series["values"][0] == pytest.approx(0.2, abs=0.02)
    assert series["values"][-1] is None
    high = server.get("/api/v1/metrics/query", metric="cpu", quantile=1.0, **{**asked, "step_ms": 120_000})
    assert high["aggregation"] == "quantile"
    assert max(v for v in high["series"][0]["values"] if v is not None) == pytest.approx(0.259)
    rates = server.get("/api/v1/metrics/query", metric="net", **asked)
    assert {one["unit"] for one in rates["series"]} == {"By/s"}
    assert rates["aggregation"] == "rate"
    both = server.get("/api/v1/metrics/query", metric=["cpu", "mem"], **{**asked, "selector": ["a", "b"]})
    assert len(both["series"]) == 4


def test_the_catalogue(server: ServerThread) -> None:
    """Every metric once, with unit, kind, short name and how many hosts have it."""
    found = {one["name"]: one for one in server.get("/api/v1/metrics")}
    network = found["system.network.io"]
    assert (network["unit"], network["kind"], network["hosts"], network["series"]) == ("By", "counter", 2, 4)
    assert network["attributes"]["direction"] == ["receive", "transmit"]
    assert found["system.cpu.utilization"]["alias"] == "cpu"
