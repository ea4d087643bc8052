"""The generations of an agent's key: a host that is killed or cut at any moment gets in again, a copy of its key never.

The real agent (uplink, agent.json) against the real server; what a copy does is played message by message.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.agent.enrolment import join
from cybercorp.agent.log import Log
from cybercorp.agent.spool import Spool
from cybercorp.agent.uplink import Uplink
from cybercorp.agent.wake import Wake
from cybercorp.client.agent_session import AgentSession
from cybercorp.client.backoff import Backoff
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import StorageFullError
from cybercorp.protocol.agents import Challenge, Welcome
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.problems import Problem
from cybercorp.security.credentials import AGENT_FILE, Credential, read_credential, write_credential
from tests.attacks.agents import KeyPeer, connect, kept, refused
from tests.integration.serving import DEADLINE_S, ServerThread
from tests.stack import wait_until

_NUMBER = iter(range(1000))


class Killed(BaseException):
    """The agent's process ends here, and nothing after this happens."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("generations") / "data") as made:
        yield made


@pytest.fixture
def folder(server: ServerThread, tmp_path: Path) -> Path:
    """The state folder of an agent that has joined."""
    join(server.url, server.enrolment(), state_dir=tmp_path / "state", name=f"host-{next(_NUMBER)}")
    return tmp_path / "state"


def on_disk(folder: Path) -> Credential:
    found = read_credential(folder / AGENT_FILE)
    assert found is not None
    return found


def live(
    server: ServerThread, folder: Path, on_trust: Callable[[Credential], None], until: Callable[[Uplink], bool]
) -> None:
    """Run an agent's uplink from what is on its disk until it is connected, or dies."""
    clock, selector, wake = SystemClock(), selectors.DefaultSelector(), Wake()
    lines: list[str] = []
    spool = Spool(folder, max_bytes=1 << 20, clock=clock, report=lines.append)
    uplink = Uplink(
        on_disk(folder),
        spool,
        selector,
        wake,
        clock,
        Log(clock, lines.append),
        interval_ms=1000,
        read_facts=HostFacts,
        backoff=Backoff(first_s=0.01, cap_s=0.05),
        timeout_s=5,
    )
    uplink.on_trust = on_trust
    selector.register(wake, selectors.EVENT_READ)
    try:
        deadline = clock.monotonic() + DEADLINE_S
        while not until(uplink):
            assert clock.monotonic() < deadline, lines
            for key, events in selector.select(min(0.05, uplink.wait_s())):
                if key.fileobj is wake:
                    wake.drain()
                else:
                    uplink.on_ready(
                        readable=bool(events & selectors.EVENT_READ), writable=bool(events & selectors.EVENT_WRITE)
                    )
            uplink.poll()
    finally:
        uplink.close()
        spool.close()
        selector.close()
        wake.close()


def keep(folder: Path) -> Callable[[Credential], None]:
    return lambda credential: write_credential(folder / AGENT_FILE, credential)


def die_before_writing(credential: Credential) -> None:
    raise Killed


def run_once(server: ServerThread, folder: Path) -> None:
    """A connection as it should be, until its confirmation has been read."""
    gone(server, folder)
    live(server, folder, keep(folder), lambda uplink: uplink.connected)
    wait_until(lambda: state(server, folder) == on_disk(folder).generation, "the confirmation was read")


def gone(server: ServerThread, folder: Path) -> None:
    """Wait until the server knows that the last connection is over."""
    host = server.services.fleet.find(on_disk(folder).host_id)
    assert host is not None
    wait_until(lambda: not host.connected, "the last connection is over")


def state(server: ServerThread, folder: Path) -> int:
    """The generation that the server knows of."""
    return server.services.agent_keys._rows[on_disk(folder).host_id].generation


@pytest.mark.parametrize("point", ["before the welcome", "before it is written", "before it is confirmed"])
def test_an_agent_that_is_killed_gets_in_again(
    server: ServerThread, folder: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times in a row at the same point; then it connects, and the copy that was made before does not."""
    run_once(server, folder)
    copy = on_disk(folder)

    def die_after_writing(credential: Credential) -> None:
        write_credential(folder / AGENT_FILE, credential)
        raise Killed

    for _ in range(3):
        gone(server, folder)
        before = on_disk(folder).generation
        trusts = die_after_writing if point == "before it is confirmed" else die_before_writing
        with monkeypatch.context() as patch:
            if point == "before the welcome":
                patch.setattr(AgentSession, "hello", _raise_killed)
            with pytest.raises(Killed):
                live(server, folder, trusts, lambda uplink: False)
        assert on_disk(folder).generation == before + (point == "before it is confirmed")
    run_once(server, folder)
    assert refused(server, copy) == "agent_cloned"
    assert refused(server, on_disk(folder)) == "agent_locked"


def _raise_killed(*_: object) -> bytes:
    raise Killed


def test_a_cut_that_nobody_notices(server: ServerThread, folder: Path) -> None:
    """The old connection hangs on the server's side: the host waits for its end and is not locked."""
    for keeps in (False, True):
        one = on_disk(folder)
        with KeyPeer(server, one) as peer:
            welcome = peer.prove()
            assert isinstance(welcome, Welcome)
            again = kept(one, welcome) if keeps else one
            assert refused(server, again) == "agent_already_connected"
        gone(server, folder)
        write_credential(folder / AGENT_FILE, connect(server, again))
    assert server.get(f"/api/v1/hosts/{on_disk(folder).name}")["agent_state"] == "active"


def test_a_copy_that_never_confirms(server: ServerThread, folder: Path) -> None:
    """It learns the number, and not the mark that the host was handed: its next connection locks, whatever it says."""
    copy = on_disk(folder)
    with KeyPeer(server, copy) as peer:
        welcome = peer.prove()
        assert isinstance(welcome, Welcome)
    run_once(server, folder)
    guess = msgspec.structs.replace(copy, generation=on_disk(folder).generation, mark=welcome.mark)
    assert refused(server, guess) == "agent_cloned"
    assert server.get(f"/api/v1/hosts/{copy.name}")["agent_state"] == "locked"


def test_a_copy_that_runs_ahead(server: ServerThread, folder: Path) -> None:
    """With the next number and a mark of its own it passes for a lost confirmation; the host's next one locks."""
    run_once(server, folder)
    real = on_disk(folder)
    ahead = msgspec.structs.replace(real, generation=real.generation + 1, mark="made up")
    assert refused(server, ahead) == ""
    gone(server, folder)
    assert refused(server, real) == "agent_cloned"


def test_a_full_disk(server: ServerThread, folder: Path) -> None:
    """A host that cannot keep its next generation connects with the one that it has, and is not locked."""
    run_once(server, folder)

    def full(credential: Credential) -> None:
        raise StorageFullError("full", hint="")

    for _ in range(3):
        gone(server, folder)
        live(server, folder, full, lambda uplink: uplink.connected)
    run_once(server, folder)


def test_a_host_that_was_restored_from_a_snapshot(server: ServerThread, folder: Path) -> None:
    """It looks like a copy; once approved it gets in with what it has, and a second one does not."""
    snapshot = on_disk(folder)
    for _ in range(3):
        run_once(server, folder)
    newest = on_disk(folder)
    assert refused(server, snapshot) == "agent_cloned"
    assert server.http.post(f"/api/v1/hosts/{snapshot.name}/approve").status_code == 200
    write_credential(folder / AGENT_FILE, snapshot)
    run_once(server, folder)
    assert refused(server, newest) == "agent_cloned"


def test_before_a_valid_signature_nothing_happens(server: ServerThread, folder: Path) -> None:
    """Proofs that are not signed by the key lock nobody and cut nobody off, whatever generation they tell."""
    run_once(server, folder)
    real = on_disk(folder)
    gone(server, folder)
    with KeyPeer(server, real) as peer:
        assert isinstance(peer.prove(), Welcome)
        for generation in (0, 1, real.generation, real.generation + 1, 1 << 62):
            with KeyPeer(server, real) as stranger:
                nonce = stranger.expect(Challenge).nonce
                told = stranger.prove(nonce=nonce, generation=generation, signature="00" * 64)
                assert isinstance(told, Problem)
                assert told.code == "unauthenticated"
        with KeyPeer(server, real) as silent:
            silent.expect(Challenge)
        host = server.services.fleet.find(real.host_id)
        assert host is not None
        assert host.connected
        assert server.get(f"/api/v1/hosts/{real.name}")["agent_state"] == "active"
