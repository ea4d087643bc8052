"""How an agent becomes a host."""

from pathlib import Path

import msgspec
import pytest

from cybercorp.agent.enrolment import find_own_credential, join, join_when_possible
from cybercorp.agent.log import Log
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.wake import Wake
from cybercorp.client.enrolment import enrol
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)
from cybercorp.protocol.agents import EnrolAnswer, EnrolRequest
from cybercorp.security.credentials import AGENT_FILE, Credential, read_credential, write_credential
from tests.fakes.http import Answer, Asked, FakeHttp, problem


def _welcome(asked: Asked) -> Answer:
    name = msgspec.json.decode(asked.body, type=EnrolRequest).name
    return Answer(EnrolAnswer(host_id="host_1", name=name), status=201)


def test_joining_writes_a_private_credential(tmp_path: Path) -> None:
    """The enrolment token is shown once; what is kept is the agent's own, 0600."""
    with FakeHttp(_welcome) as server:
        credential = join(server.url, "cce_x", state_dir=tmp_path / "state", name="web-1")
    assert (credential.url, credential.token, credential.host_id, credential.name) == (
        server.url,
        "",
        "host_1",
        "web-1",
    )
    assert credential.generation == 1
    path = tmp_path / "state" / AGENT_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_credential(path) == credential
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/api/v1/agents/enrol")
    assert asked.headers["authorization"] == "Bearer cce_x"
    sent = msgspec.json.decode(asked.body, type=EnrolRequest)
    assert sent.facts.cpu_count > 0
    assert sent.public_key == credential.public_key
    assert credential.private_key.encode() not in asked.body


def test_without_a_name_the_machine_has_one(tmp_path: Path) -> None:
    """The host name is sent, and it is one that a host may have."""
    with FakeHttp(_welcome) as server:
        assert join(server.url, "cce_x", state_dir=tmp_path).name


def test_a_taken_name_says_what_to_do(tmp_path: Path) -> None:
    """Two agents of one name: the second one is told about --name, and nothing is written."""
    taken = problem(409, "host_name_taken", "There is a host 'web-1' already.")
    with FakeHttp(lambda asked: taken) as server, pytest.raises(ConflictError, match="already") as caught:
        join(server.url, "cce_x", state_dir=tmp_path, name="web-1")
    assert "--name" in caught.value.hint
    assert caught.value.error_code == "host_name_taken"
    assert not (tmp_path / AGENT_FILE).exists()


def test_a_bad_name_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """No enrolment token is spent on a name that no host may have."""
    with FakeHttp(_welcome) as server, pytest.raises(InvalidInputError):
        join(server.url, "cce_x", state_dir=tmp_path, name="a b")
    assert server.asked == []


def test_failures_of_joining_are_those_of_the_library(tmp_path: Path) -> None:
    """A spent token, another version, nobody there."""
    request = EnrolRequest(name="x", public_key="ab" * 32)
    with FakeHttp(lambda asked: problem(401, "unauthenticated")) as server, pytest.raises(UnauthenticatedError):
        enrol(Credential(url=server.url, token="cce_x"), request)
    with FakeHttp(lambda asked: Answer(protocol="2")) as server, pytest.raises(VersionMismatchError):
        enrol(Credential(url=server.url, token="cce_x"), request)
    with FakeHttp(lambda asked: Answer(hang_up=True)) as server, pytest.raises(UnreachableError):
        enrol(Credential(url=server.url, token="cce_x"), request)
    with pytest.raises(UnreachableError, match="cybercorp up"):
        enrol(Credential(url="http://127.0.0.1:1", token="cce_x"), request)


def test_what_the_agent_shows_the_server(tmp_path: Path) -> None:
    """What is in agent.json; an address in the settings moves a known agent to another port."""
    assert find_own_credential(AgentSettings(), tmp_path) is None
    write_credential(
        tmp_path / AGENT_FILE, Credential(url="http://a:1", token="", private_key="k", host_id="h", name="n")
    )
    kept = find_own_credential(AgentSettings(), tmp_path)
    assert kept is not None
    assert (kept.url, kept.private_key) == ("http://a:1", "k")
    moved = find_own_credential(AgentSettings(url="http://a:2/"), tmp_path)
    assert moved is not None
    assert (moved.url, moved.private_key, moved.host_id) == ("http://a:2", "k", "h")


def test_an_agent_that_never_joined_says_how(tmp_path: Path) -> None:
    """The hint is the command to type."""
    wake = Wake()
    with pytest.raises(NotFoundError, match="has not joined") as caught:
        join_when_possible(AgentSettings(), tmp_path, wake, Log(SystemClock(), lambda line: None))
    wake.close()
    assert caught.value.error_code == "not_enrolled"
    assert "cybercorp agent join" in caught.value.hint


def test_an_agent_waits_for_its_server(tmp_path: Path) -> None:
    """Started before the server, it joins as soon as that answers."""
    tries = 0

    def late(asked: Asked) -> Answer:
        nonlocal tries
        tries += 1
        return Answer(hang_up=True) if tries < 3 else _welcome(asked)

    lines: list[str] = []
    with FakeHttp(late) as server:
        settings = AgentSettings(url=server.url, enrolment_token="cce_x", name="n")
        wake = Wake()
        credential = join_when_possible(settings, tmp_path, wake, Log(SystemClock(), lines.append))
        wake.close()
    assert credential is not None
    assert credential.host_id == "host_1"
    assert len(lines) == 2


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    """SIGTERM while nobody answers."""
    wake = Wake()
    wake.stop()
    settings = AgentSettings(url="http://127.0.0.1:1", enrolment_token="cce_x", name="n")
    assert join_when_possible(settings, tmp_path, wake, Log(SystemClock(), lambda line: None)) is None
    wake.close()
