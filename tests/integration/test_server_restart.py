"""Starting, stopping, starting again: what was known is known again, and what cannot work is said in two lines."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from cybercorp.core.errors import ConflictError, PortInUseError, StorageFullError
from cybercorp.protocol.agents import Acknowledge
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.live import HostsUpdate, Subscribe, Topic
from cybercorp.server.main import listen
from cybercorp.store.records.events import EventRepository
from tests.integration.serving import SMALL, AgentPeer, Peer, ServerThread, now_ms
from tests.joined import joined, new_key
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until


def test_what_was_known_is_known_again(tmp_path: Path) -> None:
    """Newest values, five minutes of CPU, when a host was seen, names, labels and events survive a restart."""
    with ServerThread(tmp_path) as server:
        begin_ms = now_ms()
        with server.agent("a") as agent:
            agent.announce()
            for minute in (4, 3, 2, 1):
                agent.samples(minute / 10, at_ms=begin_ms - minute * 60_000)
            last = agent.samples(0.75, at_ms=begin_ms)
            while agent.expect(Acknowledge).seq < last:
                pass
        server.join("never-sent")
        server.http.patch("/api/v1/hosts/a", json={"labels": {"env": "prod"}})
        server.wait_for_event(EventKind.HOST_DISCONNECTED, "a")
        before = server.get("/api/v1/hosts/a")
        instance = server.get("/api/v1/server")["instance"]
    with ServerThread(tmp_path) as server:
        host = server.get("/api/v1/hosts/a")
        assert host["labels"] == {"env": "prod"}
        assert abs(host["seen_at_ms"] - before["seen_at_ms"]) < 1000
        assert host["summary"]["cpu"] == 0.75
        history = msgspec.json.decode(f'"{host["summary"]["cpu_history"]}"', type=bytes)
        assert [one / 200 for one in history if one != 255] == [0.4, 0.3, 0.2, 0.1, 0.75]
        latest = server.get("/api/v1/hosts/a/latest")
        assert (latest["timestamp_ms"], len(latest["values"])) == (begin_ms, len(SMALL.series))
        assert server.get("/api/v1/metrics", selector="a")
        assert server.get("/api/v1/hosts/never-sent")["seen_at_ms"] is None
        kinds = [one["kind"] for one in server.events()]
        assert kinds.count("server.started") == 2
        assert kinds.count("server.stopped") == 1
        assert server.get("/api/v1/server")["instance"] != instance


def test_tokens_survive(tmp_path: Path) -> None:
    """The owner's and an agent's, so that open dashboards and agents go on; the credential stays private."""
    with ServerThread(tmp_path) as server:
        owner, agent = server.token, server.join("a")
    with ServerThread(tmp_path) as server:
        assert server.token == owner
        server.agent("a", agent).close()
        assert (tmp_path / "owner.json").stat().st_mode & 0o777 == 0o600
        assert tmp_path.stat().st_mode & 0o777 in (0o700, 0o755)


def test_a_start_without_room_for_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk what is stored can still be looked at."""

    async def fail(*_: object) -> None:
        raise StorageFullError("There is no space left for records.", hint="Free some space.")

    with ServerThread(tmp_path) as server:
        server.join("a")
    monkeypatch.setattr(EventRepository, "append", fail)
    with ServerThread(tmp_path) as server:
        assert server.get("/api/v1/hosts/a")["name"] == "a"
    assert server.error is None


@pytest.mark.parametrize("what", ["exposed", "damaged", "deleted", "foreign"])
def test_a_credential_that_cannot_be_trusted_is_replaced(tmp_path: Path, what: str) -> None:
    """Readable by others, damaged, gone or of another server: a new token, and the old one is worth nothing."""
    path = tmp_path / "owner.json"
    with ServerThread(tmp_path) as server:
        old = server.token
    if what == "exposed":
        path.chmod(0o644)
    elif what == "damaged":
        path.write_text("{")
    elif what == "foreign":
        path.write_text('{"url": "http://127.0.0.1:1", "token": "cco_x"}')
    else:
        path.unlink()
    with ServerThread(tmp_path) as server:
        assert server.token != old
        assert path.stat().st_mode & 0o777 == 0o600
        answer = httpx.get(f"{server.url}/api/v1/hosts", headers={"Authorization": f"Bearer {old}"}, trust_env=False)
        assert answer.status_code == 401


def test_two_servers_on_one_folder(tmp_path: Path) -> None:
    """The second one is told where the server that has this data answers; the first goes on."""
    with ServerThread(tmp_path) as server:
        with pytest.raises(ConflictError) as refused, ServerThread(tmp_path):
            pass
        assert refused.value.error_code == "storage_in_use"
        assert server.url in refused.value.message
        assert refused.value.hint
        assert server.get("/api/v1/hosts") == []


def test_a_port_in_use() -> None:
    """A clear error that names the port and the way out."""
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)) as refused:
            listen("127.0.0.1", port)
        assert "--port" in refused.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "é" * 70])
def test_an_address_that_is_not_ours(host: str) -> None:
    """Cannot be listened on, and the error says so."""
    with pytest.raises(Exception, match="cannot listen"):
        listen(host, 0)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `cybercorp server run` as a user does; everything started is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "server", "run", *arguments],
            env=user_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def corrupt(path: Path) -> None:
    path.write_bytes(os.urandom(65536))


def from_the_future(path: Path) -> None:
    if path.name == "records.db":
        with sqlite3.connect(path) as database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
    else:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE meta SET value = '9999' WHERE key = 'schema'")
        database.close()


@pytest.mark.parametrize("name", ["records.db", "samples.db"])
@pytest.mark.parametrize("damage", [corrupt, from_the_future])
def test_databases_that_cannot_be_used(
    program: Callable[..., subprocess.Popen[str]], tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """Damaged, or written by a newer version: exit code 1, a sentence that names the file, no traceback, no change."""
    with ServerThread(tmp_path / "data"):
        pass
    path = tmp_path / "data" / name
    for rest in ("-wal", "-shm"):
        path.with_name(name + rest).unlink(missing_ok=True)
    damage(path)
    content = path.read_bytes()
    process = program("--port", "0")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1, output
    assert name in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) <= 6, output
    assert damage is from_the_future or path.read_bytes() == content


def test_a_port_in_use_ends_the_program(program: Callable[..., subprocess.Popen[str]]) -> None:
    """Exit code 1 and one sentence."""
    with listen("127.0.0.1", 0) as first:
        process = program("--port", str(first.getsockname()[1]))
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "in use" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quickly(
    program: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    """With an agent that sends, a viewer that looks and one that does not read: under three seconds, both told 1012."""
    port = free_port()
    process = program("--port", str(port))
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: is_ready(url), "the server is ready")
    token = msgspec.json.decode((tmp_path / "data" / "owner.json").read_bytes())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
        enrolment = http.post("/api/v1/agents/enrolments", json={}).json()["tokens"][0]
        joining = {"Authorization": f"Bearer {enrolment}"}
        key = new_key()
        asked = {"name": "a", "public_key": key.public}
        host_id = http.post("/api/v1/agents/enrol", headers=joining, json=asked).json()["host_id"]
        agent, viewer = AgentPeer(url, joined(host_id, key)), Peer(url, "/api/v1/live", token)
        agent.greet()
        agent.announce()
        agent.samples(0.5)
        agent.expect(Acknowledge)
        viewer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS, interval_ms=100))
        viewer.expect(HostsUpdate)
        started = time.monotonic()
        process.send_signal(number)
        assert agent.wait_closed()[:2] == (1012, "the server restarts")
        assert viewer.wait_closed()[0] == 1012
        assert process.wait(10) == 0
        assert time.monotonic() - started < 3
    output = process.communicate()[0]
    assert "Traceback" not in output, output
    assert "ready at" in output
