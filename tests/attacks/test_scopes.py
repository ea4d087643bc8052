"""Nothing of a host outside the scope leaves the server: no name, total, rank, past or recording of it.

Each host has words of its own in everything that it sends, so that a search of any answer finds what leaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from cybercorp.client.recordings import RecordingInfo
from cybercorp.client.synchronous import Client
from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.events import AgentEvent, Severity
from cybercorp.protocol.hosts import HostsWindow
from cybercorp.protocol.live import HostsUpdate, Subscribe, Topic
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.roles import NewBinding, NewRole
from cybercorp.server.services.windows import SNAPSHOT_S
from tests.attacks.people import LOCAL_OWNER, ask, make_user, session_of, within
from tests.attacks.searching import holds
from tests.integration.serving import SMALL, AgentPeer, Peer, ServerThread, now_ms
from tests.stack import wait_until

WORDS = {"alpha-of-prod": "quokka", "beta-of-dev": "wombat", "gamma-of-dev": "numbat"}
ALPHA, BETA, GAMMA = WORDS
ROLES = {
    "looker": ["hosts:view"],
    "taker": ["hosts:view", "recordings:export"],
    "table-taker": ["hosts:view", "recordings:export", "processes:view"],
    "event-taker": ["hosts:view", "recordings:export", "events:view"],
}


class Stage(NamedTuple):
    server: ServerThread
    agents: dict[str, AgentPeer]
    ids: dict[str, str]
    began_ms: int

    def token(self, role: str, scope: str = "") -> str:
        """Of somebody new with this role."""
        name = f"{role}-{scope.replace('=', '-')}-{now_ms()}"
        make_user(self.server, name, role, scope)
        return session_of(self.server, name)

    def get(self, path: str, token: str, **params: Any) -> Any:
        answer = ask(self.server, "GET", f"/api/v1{path}", token, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def traces(self, name: str) -> list[bytes]:
        """All by which a host can be told."""
        return [name.encode(), self.ids[name].encode(), WORDS[name].encode()]


def send(agent: AgentPeer, name: str, cpu: float) -> None:
    """A row of samples, a process table and an event, each with the host's word in it."""
    word = WORDS[name]
    catalogue = make_catalogue([*SMALL.series, Series(name=f"app.{word}.depth")])
    agent.announce(catalogue)
    agent.samples(cpu, catalogue=catalogue)
    at = now_ms()
    table = ProcessTable(
        timestamp_ms=at,
        total=1,
        pid=[4711],
        parent=[1],
        name=[f"{word}-worker"],
        command=[f"{word}-worker --serve"],
        user=["root"],
        state=["R"],
        cpu=[cpu],
        cpu_time_s=[1.0],
        rss_bytes=[1],
        threads=[1],
        read_bytes=[0],
        write_bytes=[0],
        read_rate=[0.0],
        write_rate=[0.0],
        started_at_ms=[at],
    )
    event = AgentEvent(kind="spool.gap", severity=Severity.WARNING, message=f"{word} lost rows")
    agent.send_records(
        [
            Record(agent.seq + 1, at, RecordType.PROCESSES, "", msgspec.msgpack.encode(table)),
            Record(agent.seq + 2, at, RecordType.EVENT, "", msgspec.msgpack.encode(event)),
        ]
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three hosts on two labels, each with a history of a moment."""
    began = now_ms() - 1_000
    with ServerThread(tmp_path_factory.mktemp("scopes") / "data", password_memory_kib=64) as server:
        agents, ids = {}, {}
        for role, permissions in ROLES.items():
            within(server, server.services.roles.create(LOCAL_OWNER, NewRole(name=role, permissions=permissions)))
        for name, cpu in ((ALPHA, 0.1), (BETA, 0.9), (GAMMA, 0.5)):
            labels = {"env": name.rpartition("-")[2]}
            agents[name] = server.agent(name, server.join(name, server.enrolment(labels=labels)))
            send(agents[name], name, cpu)
            ids[name] = server.get(f"/api/v1/hosts/{name}")["id"]
        made = Stage(server, agents, ids, began)
        wait_until(lambda: len(server.events("spool.gap")) == len(WORDS), "every host's event")
        for name in WORDS:
            wait_until(lambda name=name: top(made, name) == f"{WORDS[name]}-worker", "the busiest process")  # type: ignore[misc]
        yield made
        for agent in agents.values():
            agent.close()


def top(stage: Stage, name: str) -> Any:
    return stage.server.get(f"/api/v1/hosts/{name}")["summary"]["top_process"]


def recording(stage: Stage, token: str, folder: Path) -> tuple[RecordingInfo, bytes]:
    """What this principal gets of everything that there is, whole."""
    path = folder / f"{now_ms()}.ccrec"
    with Client(stage.server.url, token=token) as client:
        info = client.recordings.save(path, since=stage.began_ms, until=now_ms() + 1_000)
    return info, path.read_bytes()


def test_a_busy_process_is_seen_with_processes_only(stage: Stage) -> None:
    """`hosts:view` alone names no process: in lists, of one host, in windows now and then, live."""
    viewer, looker = stage.token("viewer", "env=prod"), stage.token("looker", "env=prod")
    everywhere = stage.token("looker")
    for token, seen in ((viewer, True), (looker, False), (everywhere, False)):
        told = [
            stage.get("/hosts", token),
            stage.get(f"/hosts/{ALPHA}", token),
            stage.get("/fleet", token, pinned=stage.ids[ALPHA]),
            stage.get("/fleet", token, at_ms=now_ms()),
        ]
        with Peer(stage.server.url, "/api/v1/live", token) as peer:
            peer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS, limit=10))
            told.append(msgspec.to_builtins(peer.expect(HostsUpdate)))
        for one in told:
            assert ("quokka-worker" in repr(one)) == seen, one


def test_a_right_to_processes_that_is_taken_away(stage: Stage) -> None:
    """The next window of an open socket names none any more."""
    make_user(stage.server, "loses", "looker")
    services = stage.server.services
    binding = within(stage.server, services.roles.bind(LOCAL_OWNER, NewBinding(user="loses", role="viewer"))).id
    with Peer(stage.server.url, "/api/v1/live", session_of(stage.server, "loses")) as peer:
        peer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS, limit=10, interval_ms=100))
        assert "quokka-worker" in repr(peer.expect(HostsUpdate))
        within(stage.server, services.roles.unbind(LOCAL_OWNER, binding))
        wait_until(lambda: "quokka-worker" not in repr(peer.expect(HostsUpdate)), "no process", 10 * SNAPSHOT_S)


def test_totals_and_ranks_count_what_is_seen(stage: Stage) -> None:
    """Windows, metrics, the best of a query, the server's own numbers."""
    token = stage.token("viewer", "env=prod")
    window = stage.get("/fleet", token, sort="cpu", descending=True, pinned=stage.ids[BETA])
    assert (window["counts"]["total"], window["pinned"], window["pinned_rank"]) == (1, None, None)
    assert {one["hosts"] for one in stage.get("/metrics", token)} == {1}
    asked = {"metric": "cpu", "start_ms": stage.began_ms, "end_ms": now_ms() + 1, "topk": 1}
    best = stage.get("/metrics/query", token, **asked)
    assert ([one["host"] for one in best["series"]], best["found"]) == ([ALPHA], 1)
    assert stage.get("/metrics/query", stage.token("viewer"), **asked)["series"][0]["host"] == BETA
    info, whole = stage.get("/server", token), stage.get("/server", stage.token("viewer"))
    assert (info["hosts"], info["agents_connected"], info["partial"]) == (1, 1, True)
    assert (info["viewers_connected"], info["samples_per_second"]) == (0, 0)
    assert {key: value for key, value in info["storage"].items() if value} == {
        "oldest_ms": info["storage"]["oldest_ms"]
    }
    assert (whole["hosts"], whole["partial"]) == (3, False)
    assert whole["storage"]["samples_total"] > 0


def test_a_recording_holds_what_its_taker_sees(stage: Stage, tmp_path: Path) -> None:
    """Of the hosts in scope; samples, tables and events each with their own permission only."""
    contents = {}
    for role in ("operator", *ROLES):
        if role == "looker":
            continue
        info, data = recording(stage, stage.token(role, "env=prod"), tmp_path)
        assert [one.name for one in info.hosts] == [ALPHA]
        for other in (BETA, GAMMA):
            assert not holds(data, *stage.traces(other)), role
        contents[role] = (info.samples > 0, info.tables > 0, info.events > 0)
    assert contents == {
        "operator": (True, True, True),
        "taker": (False, False, False),
        "table-taker": (False, True, False),
        "event-taker": (False, False, True),
    }
    info, data = recording(stage, stage.token("operator"), tmp_path)
    assert len(info.hosts) == 3
    assert all(holds(data, *stage.traces(name)) for name in WORDS)


def pasts(stage: Stage, token: str, folder: Path) -> bytes:
    """Everything that this principal can be told of what was."""
    span = {"start_ms": stage.began_ms, "end_ms": now_ms() + 1}
    told = [
        stage.get("/hosts", token),
        stage.get("/fleet", token, at_ms=stage.began_ms + 2_000),
        stage.get("/fleet", token, at_ms=now_ms()),
        stage.get("/events", token, limit=1000),
        stage.get("/events", token, limit=1000, newest=True),
        stage.get("/metrics", token),
        stage.get("/metrics/query", token, metric="cpu", by="host", group="max", **span),
    ]
    with Peer(stage.server.url, "/api/v1/live", token, "json") as peer:
        peer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.EVENTS, after=0))
        peer.send("live.subscribe", Subscribe(subscription=2, topic=Topic.HOSTS, limit=10))
        heard = [peer.receive().payload]
        while not isinstance(heard[-1], HostsUpdate):
            heard.append(peer.receive().payload)
    export = ask(
        stage.server, "GET", "/api/v1/metrics/export", token, params={"metric": "*", "format": "ndjson", **span}
    )
    _, data = recording(stage, token, folder)
    return repr((told, heard)).encode() + export.content + data


@pytest.mark.slow
def test_a_host_that_left_the_scope_takes_its_past_along(stage: Stage, tmp_path: Path) -> None:
    """Relabelled, then removed: no event, replay, query, export or recording tells that it ever was there."""
    token = stage.token("operator", "env=dev")
    whole = pasts(stage, token, tmp_path)
    assert all(holds(whole, trace) for trace in stage.traces(GAMMA))
    path = f"/api/v1/hosts/{GAMMA}"
    assert stage.server.http.patch(path, json={"labels": {"env": "elsewhere"}}).status_code == 200
    assert not holds(pasts(stage, token, tmp_path), *stage.traces(GAMMA), b"elsewhere")
    assert stage.server.http.patch(path, json={"labels": {"env": "dev"}}).status_code == 200
    assert holds(pasts(stage, token, tmp_path), WORDS[GAMMA].encode())
    assert stage.server.http.delete(path).status_code == 204
    assert not holds(pasts(stage, token, tmp_path), *stage.traces(GAMMA))
    assert msgspec.convert(stage.get("/fleet", token), HostsWindow).counts.total == 1
