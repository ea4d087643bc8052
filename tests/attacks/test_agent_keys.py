"""Agents with keys: what a stranger, a clone, a replay, somebody in between and a retired host get. Nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from cybercorp.agent.enrolment import join
from cybercorp.client.agent_connection import AgentConnection
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.protocol.agents import Challenge, Proof, Welcome
from cybercorp.protocol.problems import Problem
from cybercorp.security.agent_keys import new_agent_key, new_nonce, server_key, sign_proof, verify_proof
from cybercorp.security.credentials import Credential
from tests.attacks.agents import HELLO, KeyPeer, connect
from tests.attacks.people import ask, within
from tests.integration.serving import DEADLINE_S, Peer, ServerThread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("keys") / "data") as made:
        yield made


_NUMBER = iter(range(1000))


@pytest.fixture
def joined(server: ServerThread, tmp_path: Path) -> Credential:
    """An agent that has joined as agents do: its key was made here, the server has the public half."""
    return join(server.url, server.enrolment(), state_dir=tmp_path / "state", name=f"host-{next(_NUMBER)}")


def test_a_key_is_made_on_the_host(joined: Credential, tmp_path: Path, server: ServerThread) -> None:
    """The private half is in agent.json (0600) and nowhere on the server; there is no token any more."""
    assert (joined.token, joined.generation) == ("", 1)
    assert (tmp_path / "state" / "agent.json").stat().st_mode & 0o777 == 0o600
    for path in server.folder.rglob("*"):
        if path.is_file():
            assert joined.private_key.encode() not in path.read_bytes()
    found = server.get(f"/api/v1/hosts/{joined.name}")
    assert found["agent_state"] == "active"
    assert joined.private_key not in repr(joined)


def test_each_connection_hands_the_key_on(server: ServerThread, joined: Credential) -> None:
    """The generation grows; an answer that was lost does no harm."""
    second = connect(server, joined)
    assert second.generation == 2
    with KeyPeer(server, second) as peer:  # the welcome came and was not kept
        assert isinstance(peer.prove(), Welcome)
    third = connect(server, second)
    assert third.generation > second.generation


@pytest.mark.parametrize(
    "changes",
    [
        {"private_key": new_agent_key().private},
        {"host_id": "host_somebodyelse"},
        {"signature": "00" * 64},
        {"signature": "no hex"},
        {"signature": ""},
        {"nonce": new_nonce()},
        {"generation": 0},
        {"generation": -1},
        {"generation": 1 << 62},
    ],
    ids=["key", "host", "zeros", "text", "nothing", "nonce", "generation 0", "generation -1", "generation 2**62"],
)
def test_a_wrong_proof(server: ServerThread, joined: Credential, changes: dict[str, Any]) -> None:
    """Another key, another host, no signature, an older challenge: all refused, and the real agent still connects."""
    with KeyPeer(server, joined) as peer:
        if "nonce" in changes:
            peer.expect(Challenge)
        told = peer.prove(**changes)
        assert isinstance(told, Problem)
        assert told.status in (401, 403)
    if "generation" not in changes:
        connect(server, joined)


def test_a_generation_that_is_signed_but_told_otherwise(server: ServerThread, joined: Credential) -> None:
    """What is said must be what was signed."""
    with KeyPeer(server, joined) as peer:
        nonce = peer.expect(Challenge).nonce
        signed = sign_proof(joined.private_key, nonce, joined.host_id, 1, "")
        peer.send("agent.proof", Proof(host_id=joined.host_id, generation=2, server_key="", signature=signed))
        assert peer.expect(Problem).code == "unauthenticated"


def test_a_replayed_proof(server: ServerThread, joined: Credential) -> None:
    """A proof that was seen on another connection is worth nothing: each has a nonce of its own."""
    with KeyPeer(server, joined) as first, KeyPeer(server, joined) as second:
        nonce = first.expect(Challenge).nonce
        assert second.expect(Challenge).nonce != nonce
        signed = sign_proof(joined.private_key, nonce, joined.host_id, 1, "")
        second.send("agent.proof", Proof(host_id=joined.host_id, generation=1, server_key="", signature=signed))
        assert second.expect(Problem).status == 401


def test_who_is_unknown_learns_nothing(server: ServerThread, joined: Credential) -> None:
    """An unknown host, a name instead of an id and a removed host get the same refusal, before any challenge."""
    server.http.delete(f"/api/v1/hosts/{joined.name}")
    for host in ("host_unheardof", joined.name, joined.host_id, "", "x" * 500):
        with pytest.raises(UnauthenticatedError):
            AgentConnection.open(msgspec.structs.replace(joined, host_id=host))


def test_a_clone_locks_the_host(server: ServerThread, joined: Credential) -> None:
    """A copied key is seen as soon as both have connected: neither gets in until somebody approves the host again."""
    clone = joined
    real = connect(server, connect(server, joined))
    with KeyPeer(server, clone) as peer:
        told = peer.prove()
        assert isinstance(told, Problem)
        assert told.code == "agent_cloned"
    for one in (clone, real):
        with KeyPeer(server, one) as peer:
            told = peer.prove()
            assert isinstance(told, Problem)
            assert told.code == "agent_locked"
    assert server.get(f"/api/v1/hosts/{joined.name}")["agent_state"] == "locked"
    found = server.wait_for_event("agent.refused", joined.name)
    assert any("two places" in event["message"] for event in found)
    trail = server.get("/api/v1/audit", operation="host.clone", target=joined.host_id)["records"]
    assert [(one["decision"], one["outcome"]) for one in trail] == [("refused", "intent"), ("refused", "done")]
    assert server.http.post(f"/api/v1/hosts/{joined.name}/approve").status_code == 200
    connect(server, real)


def test_a_clone_ends_the_open_connection(server: ServerThread, joined: Credential) -> None:
    """Whoever is connected with the copied key is cut off as well."""
    real = connect(server, connect(server, joined))
    with KeyPeer(server, real) as peer:
        assert isinstance(peer.prove(), Welcome)
        with KeyPeer(server, joined) as clone:
            told = clone.prove()
            assert isinstance(told, Problem)
            assert told.code == "agent_cloned"
        code, _, _ = peer.wait_closed()
        assert code == 1008


def test_a_retired_host_never_returns(server: ServerThread, joined: Credential) -> None:
    """Its history stays, its agent is cut off, its key and its name are of no use."""
    with KeyPeer(server, joined) as peer:
        assert isinstance(peer.prove(), Welcome)
        assert server.http.post(f"/api/v1/hosts/{joined.name}/retire").status_code == 200
        assert peer.wait_closed()[0] == 1008
    with KeyPeer(server, joined) as peer:
        told = peer.prove()
        assert isinstance(told, Problem)
        assert told.code == "agent_retired"
    assert server.http.post(f"/api/v1/hosts/{joined.name}/approve").status_code == 409
    assert server.get(f"/api/v1/hosts/{joined.name}")["agent_state"] == "retired"


def test_an_enrolment_token_is_good_once(server: ServerThread, tmp_path: Path) -> None:
    """Replayed, it admits nobody, and the host that joined with it goes on."""
    token = server.enrolment()
    first = join(server.url, token, state_dir=tmp_path / "a", name="once")
    with pytest.raises(UnauthenticatedError):
        join(server.url, token, state_dir=tmp_path / "b", name="twice")
    connect(server, first)


def test_hosts_may_wait_for_approval(tmp_path: Path) -> None:
    """With `approve_agents` nobody sends before somebody said so; then they do, without joining again."""
    with ServerThread(tmp_path / "data", approve_agents=True) as server:
        credential = join(server.url, server.enrolment(), state_dir=tmp_path / "state", name="waiting")
        with KeyPeer(server, credential) as peer:
            told = peer.prove()
            assert isinstance(told, Problem)
            assert told.code == "agent_pending"
        assert server.http.post("/api/v1/hosts/waiting/approve").status_code == 200
        connect(server, credential)


def test_generations_outlive_the_server(tmp_path: Path) -> None:
    """Written soon after they changed; a clone is still a clone after a restart."""
    with ServerThread(tmp_path / "data") as server:
        joined = join(server.url, server.enrolment(), state_dir=tmp_path / "state", name="web-1")
        real = connect(server, connect(server, joined))
        within(server, server.services.agent_keys.save())
    with ServerThread(tmp_path / "data") as server:
        with KeyPeer(server, joined) as peer:
            told = peer.prove()
            assert isinstance(told, Problem)
            assert told.code == "agent_cloned"
        assert real.generation == 3


def test_who_sits_between_gains_nothing() -> None:
    """The proof names the certificate that the agent saw: it does not verify for a server that shows another one."""
    key = new_agent_key()
    seen, real = server_key(b"the certificate of who sits between"), server_key(b"the real one")
    nonce = new_nonce()
    signed = sign_proof(key.private, nonce, "host_1", 1, seen)
    assert verify_proof(key.public, signed, nonce, "host_1", 1, seen)
    assert not verify_proof(key.public, signed, nonce, "host_1", 1, real)


def test_the_socket_of_who_proves_nothing_is_closed(server: ServerThread, joined: Credential) -> None:
    """Anything else than a proof ends it; what is sent behind is not read."""
    with KeyPeer(server, joined) as peer:
        peer.expect(Challenge)
        peer.send("agent.hello", HELLO)
        code, _, heard = peer.wait_closed(DEADLINE_S)
        assert code == 1007
        assert any(isinstance(one.payload, Problem) for one in heard)


@pytest.mark.parametrize("key", [None, "", "zz", "ab" * 31, "ab" * 33, "AB " * 22])
def test_nobody_joins_without_a_key(server: ServerThread, key: str | None) -> None:
    """On loopback as elsewhere; the token stays good, and no answer holds one that would speak for the host."""
    token = server.enrolment()
    body = {"name": "keyless"} | ({} if key is None else {"public_key": key})
    answer = ask(server, "POST", "/api/v1/agents/enrol", token, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    made = ask(server, "POST", "/api/v1/agents/enrol", token, json={**body, "public_key": new_agent_key().public})
    assert sorted(made.json()) == ["host_id", "name", "pins", "state"]
    assert server.http.delete("/api/v1/hosts/keyless").status_code == 204


def test_no_token_speaks_for_an_agent(server: ServerThread) -> None:
    """The agents' socket takes a key and nothing else: not the owner's token, not one to join, none at all."""
    for token, status in ((server.token, 403), (server.enrolment(), 401), (None, 401)):
        with pytest.raises(InvalidStatus) as refused:
            Peer(server.url, "/api/v1/agents/connect", token)
        assert refused.value.response.status_code == status
