"""Joining: tokens that are used as often as they say, names that are taken once, hosts that are removed for good."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from cybercorp.protocol.agents import Acknowledge
from cybercorp.protocol.events import EventKind
from cybercorp.security.tokens import TokenKind, new_token
from tests.integration.serving import AgentPeer, ServerThread, ShiftedClock, problem


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def server(tmp_path: Path, clock: ShiftedClock) -> Iterator[ServerThread]:
    """A server without hosts whose clock a test may set."""
    with ServerThread(tmp_path, clock) as running:
        yield running


def names(server: ServerThread) -> list[str]:
    return [host["name"] for host in server.get("/api/v1/hosts")]


def test_a_token_is_used_once(server: ServerThread) -> None:
    """The second one who shows it is refused."""
    token = server.enrolment()
    assert server.enrol("a", token).status_code == 201
    again = server.enrol("b", token)
    assert (again.status_code, problem(again).code) == (401, "unauthenticated")
    assert "used up" in problem(again).detail
    assert names(server) == ["a"]


def test_many_hosts_have_a_token_each(server: ServerThread) -> None:
    """Three tokens at once: three hosts, with the labels that were asked for, and not one more."""
    made = server.http.post("/api/v1/agents/enrolments", json={"count": 3, "labels": {"env": "prod"}}).json()["tokens"]
    assert len(set(made)) == 3
    assert [server.enrol(name, token).status_code for name, token in zip("abc", made, strict=True)] == [201] * 3
    assert [server.enrol("d", token).status_code for token in made] == [401] * 3
    assert names(server) == ["a", "b", "c"]
    assert [host["name"] for host in server.get("/api/v1/hosts", selector="env=prod")] == ["a", "b", "c"]


def test_a_token_expires(server: ServerThread, clock: ShiftedClock) -> None:
    """A second after its time it is worth nothing; that is an hour where nothing else was asked for."""
    for asked, seconds in (({"expires_in_s": 60}, 60), ({}, 3600)):
        token = server.enrolment(**asked)
        clock.shift_s += seconds
        assert server.enrol("a", token).status_code == 401
    assert names(server) == []


@pytest.mark.parametrize("asked", [{"expires_in_s": 3601}, {"count": 1001}, {"uses": 2}], ids=str)
def test_no_token_is_for_many_hosts_or_for_long(server: ServerThread, asked: dict[str, int]) -> None:
    """Longer than an hour and more than a thousand at once are refused; a token for several hosts there is not."""
    answer = server.http.post("/api/v1/agents/enrolments", json=asked)
    if "uses" in asked:
        token = answer.json()["tokens"][0]
        assert [server.enrol(name, token).status_code for name in "ab"] == [201, 401]
    else:
        assert (answer.status_code, problem(answer).code) == (400, "invalid_input")


def test_ten_at_once_with_one_token(server: ServerThread) -> None:
    """However many try at the same moment, exactly one joins."""
    token = server.enrolment()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda i: server.enrol(f"host-{i}", token).status_code, range(10)))
    assert sorted(answers) == [201, *[401] * 9]
    assert len(names(server)) == 1


def test_ten_at_once_with_one_name(server: ServerThread) -> None:
    """A name is given once, and who did not get it has not used the token up."""
    tokens = [server.enrolment() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda token: server.enrol("same", token).status_code, tokens))
    assert sorted(answers) == [201, *[409] * 9]
    again = [server.enrol(f"other-{i}", token).status_code for i, token in enumerate(tokens)]
    assert sorted(again) == [*[201] * 9, 401]


def test_a_name_that_is_taken(server: ServerThread) -> None:
    """409 `host_name_taken`, and the token can be used again under another name."""
    server.join("web-1")
    token = server.enrolment()
    taken = server.enrol("web-1", token)
    assert (taken.status_code, problem(taken).code) == (409, "host_name_taken")
    assert "--name" in problem(taken).hint
    assert server.enrol("web-2", token).status_code == 201
    renamed = server.http.patch("/api/v1/hosts/web-2", json={"name": "web-1"})
    assert (renamed.status_code, problem(renamed).code) == (409, "host_name_taken")
    assert names(server) == ["web-1", "web-2"]


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a\nb", "\x1b]52;c;aGk=\x07", "\u202egnp.exe", "a" * 254, "\ufeff", "a\u2028b", "\x00", "\x7f"],
)
def test_hostile_names(server: ServerThread, name: str) -> None:
    """A name with controls, blanks, bidi marks or a megabyte of letters is refused, and costs the token nothing."""
    token = server.enrolment()
    answer = server.enrol(name, token)
    assert (answer.status_code, problem(answer).code) == (400, "invalid_input")
    assert server.enrol("good", token).status_code == 201


@pytest.mark.parametrize("name", ["ünïcode", "日本語", "a" * 253, "-rf", "..%2f", "<script>", "a;b", "${x}"])
def test_unusual_names(server: ServerThread, name: str) -> None:
    """Whatever can be printed is a name; the host answers by its id, and its name comes back unchanged."""
    host = server.enrol(name).json()
    assert server.get(f"/api/v1/hosts/{host['host_id']}")["name"] == name
    assert server.http.delete(f"/api/v1/hosts/{host['host_id']}").status_code == 204


def test_other_tokens_do_not_join(server: ServerThread) -> None:
    """Neither the owner's, nor an agent's id, nor one that nobody made."""
    for token in (server.token, server.join("a"), new_token(TokenKind.ENROLMENT), "x"):
        answer = server.enrol("b", token)
        assert (answer.status_code, problem(answer).code) == (401, "unauthenticated")


def test_labels_and_names_change(server: ServerThread) -> None:
    """PATCH sets, removes and renames; the rest stays; each change is an event."""
    server.join("a")
    path = "/api/v1/hosts/a"
    assert server.http.patch(path, json={"labels": {"env": "prod", "x": "1"}}).json()["labels"] == {
        "env": "prod",
        "x": "1",
    }
    assert server.http.patch(path, json={"labels": {"x": None}, "name": "b"}).json()["name"] == "b"
    host = server.get("/api/v1/hosts/b")
    assert host["labels"] == {"env": "prod"}
    assert server.http.get(path).status_code == 404
    assert server.get("/api/v1/fleet", selector="env=prod")["rows"][0]["name"] == "b"
    assert len(server.events(EventKind.HOST_LABELLED)) == 2
    assert [one["message"] for one in server.events(EventKind.HOST_RENAMED)] == ["a is now b."]


def test_a_removed_host_is_gone(server: ServerThread) -> None:
    """Its agent is cut, its token is worth nothing, its history is dropped, its name is free."""
    token = server.join("a")
    with server.agent("a", token) as agent:
        agent.announce()
        agent.samples(0.1, 0.2)
        agent.expect(Acknowledge)
        assert server.http.delete("/api/v1/hosts/a").status_code == 204
        code, reason, _ = agent.wait_closed()
        assert (code, reason.partition(":")[0]) == (1008, "unauthenticated")
    assert server.http.get("/api/v1/hosts/a").status_code == 404
    with pytest.raises(Exception, match="401"):
        AgentPeer(server.url, token)
    assert server.get("/api/v1/server")["storage"]["samples_total"] == 0
    joined = server.enrol("a").json()
    assert server.get("/api/v1/hosts/a")["id"] == joined["host_id"]


def test_facts_of_a_host_are_cut(server: ServerThread) -> None:
    """A host that says megabytes of itself is remembered in a few letters."""
    headers = {"Authorization": f"Bearer {server.enrolment()}"}
    facts = {"hostname": "x" * 100_000, "cpu_count": -5, "addresses": ["a" * 1000] * 100}
    answer = httpx.post(
        f"{server.url}/api/v1/agents/enrol",
        headers=headers,
        json={"name": "a", "public_key": "ab" * 32, "facts": facts},
        trust_env=False,
    )
    assert answer.status_code == 201
    known = server.get("/api/v1/hosts/a")["facts"]
    assert (len(known["hostname"]), known["cpu_count"], len(known["addresses"])) == (256, 0, 64)
