"""The audit trail of a real server: refusals, changes, what is read, checked and exported, and what is changed."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cybercorp.client.synchronous import Client
from cybercorp.core.errors import StorageError
from cybercorp.protocol.audit import AuditRecord, Decision, Outcome
from cybercorp.protocol.events import EventKind
from cybercorp.security.audit_files import read_lines, verify_file
from cybercorp.server.jobs.loops import Jobs
from tests.integration.serving import ServerThread
from tests.stack import COMMAND


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("audit")) as running:
        yield running


@pytest.fixture
def client(server: ServerThread) -> Iterator[Client]:
    with Client(server.url, token=server.token) as made:
        yield made


def newest(client: Client, operation: str) -> list[AuditRecord]:
    return list(client.audit.list(operations=[operation], newest=True).records)


def test_a_change_is_an_intent_and_an_outcome(server: ServerThread, client: Client) -> None:
    """Who, what, whether it came to pass; what failed says so."""
    assert server.http.post("/api/v1/agents/enrolments", json={}).status_code == 201
    intent, outcome = newest(client, "enrolment.create")[-2:]
    assert (intent.outcome, outcome.outcome, outcome.intent) == (Outcome.INTENT, Outcome.DONE, intent.id)
    assert (intent.actor_kind, intent.network) == ("owner", "127.0.0.1")
    assert server.http.delete("/api/v1/hosts/nobody").status_code == 404
    failed = newest(client, "host.remove")[-1]
    assert (failed.outcome, failed.target, failed.detail) == (Outcome.FAILED, "nobody", {"error": "status 404"})


def test_refusals_are_written_once_a_minute(server: ServerThread, client: Client) -> None:
    """The first at once, with the route and not its values; its like is counted, so that nobody fills the disk."""
    for _ in range(50):
        answer = httpx.get(f"{server.url}/api/v1/hosts/secret-name", headers={"Authorization": "Bearer cco_wrong"})
        assert answer.status_code == 401
    found = [one for one in newest(client, "request.refuse") if "hosts/{host" in one.target]
    assert len(found) == 1
    assert (found[0].decision, found[0].network) == (Decision.REFUSED, "127.0.0.1")
    assert found[0].detail == {"code": "unauthenticated"}
    assert "secret-name" not in str(client.audit.list(limit=1000))
    assert "cco_wrong" not in str(client.audit.list(limit=1000))


@pytest.mark.parametrize(("header", "code"), [("Host", "host_not_allowed"), ("Origin", "origin_not_allowed")])
def test_the_gate_s_refusals_are_written(server: ServerThread, client: Client, header: str, code: str) -> None:
    """A foreign name or page is refused before any route is known, and told."""
    assert httpx.get(f"{server.url}/api/v1/hosts", headers={header: "http://evil.example"}).status_code == 403
    assert code in [one.detail.get("code") for one in newest(client, "request.refuse")]


def test_a_refused_socket_is_written(server: ServerThread, client: Client) -> None:
    """A handshake without a token, as any other refusal."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{server.port}/api/v1/live", proxy=None)
    (found,) = newest(client, "socket.refuse")
    assert found.target.endswith("/api/v1/live")
    assert found.detail == {"code": "unauthenticated"}


def test_the_trail_verifies_and_a_change_is_found(server: ServerThread, client: Client, tmp_path: Path) -> None:
    """Whole now; what an anchor saw must be there; an export holds without the server, and shows a change of it."""
    result = client.audit.verify()
    assert result.finding is None
    assert client.audit.verify(count=result.records, head=result.head).finding is None
    wrong = client.audit.verify(count=result.records, head="0" * 64).finding
    assert wrong is not None
    export = tmp_path / "export.jsonl"
    client.audit.save(export)
    keys = [one.public_key for one in client.audit.list_keys()]
    found, vouched = verify_file(export, keys=keys)
    assert vouched
    assert found.finding is None
    assert found.records == client.audit.list(operations=["audit.export"], newest=True).records[-1].id
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(export.read_bytes().replace(b'"actor_kind":"owner"', b'"actor_kind":"other"', 1))
    bad = verify_file(changed, keys=keys)[0].finding
    assert bad is not None
    copy, _ = verify_file(server.folder / "audit.jsonl", keys=keys)
    assert copy.finding is None
    assert copy.records >= found.records


def test_the_command_line(server: ServerThread, tmp_path: Path) -> None:
    """list, verify, export and keys as a person gives them; a damaged file is exit code 1 and names the record."""
    export = tmp_path / "export.jsonl"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "--data-dir", str(server.folder), "audit", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    server.http.post("/api/v1/agents/enrolments", json={})
    listed = run("--operation", "enrolment.*", "-n", "2")
    assert "enrolment.create" in listed.stdout, listed.stderr
    assert "are as they were written" in run("verify").stdout
    assert run("export", str(export)).returncode == 0
    key = run("keys", "-o", "json").stdout
    assert "public_key" in key
    assert run("verify", str(export)).returncode == 0
    lines = export.read_text().splitlines(keepends=True)
    del lines[-2]
    export.write_text("".join(lines))
    broken = run("verify", str(export))
    assert broken.returncode == 1
    assert "is missing" in broken.stdout


def test_nothing_is_done_while_nothing_can_be_written(tmp_path: Path) -> None:
    """A second copy on a full disk: changes are 503 and do not happen, looking goes on; it goes on when it can."""
    target, words = tmp_path / "copy.jsonl", "correct horse battery staple"
    with ServerThread(tmp_path / "data", audit_file=str(target), password_memory_kib=19_456) as server:
        assert server.http.post("/api/v1/users", json={"name": "ada", "password": words}).status_code == 201
        target.rename(tmp_path / "kept.jsonl")
        target.symlink_to("/dev/full")
        assert server.http.post("/api/v1/agents/enrolments", json={}).status_code == 503
        assert server.http.get("/api/v1/hosts").status_code == 200
        assert httpx.get(f"{server.url}/api/v1/hosts").status_code == 401
        login = {"name": "ada", "password": words}
        assert httpx.post(f"{server.url}/api/v1/login", json=login).status_code == 503
        with sqlite3.connect(server.folder / "records.db") as database:
            kinds = [row[0] for row in database.execute("SELECT kind FROM tokens")]
            sessions = database.execute("SELECT count(*) FROM sessions").fetchone()[0]
        database.close()
        assert "enrolment" not in kinds
        assert sessions == 0
        target.unlink()
        (tmp_path / "kept.jsonl").rename(target)
        assert httpx.post(f"{server.url}/api/v1/login", json=login).status_code == 200
        assert server.http.post("/api/v1/agents/enrolments", json={}).status_code == 201
        with Client(server.url, token=server.token) as client:
            outcomes = [one.outcome for one in newest(client, "enrolment.create")]
            assert outcomes == [Outcome.INTENT, Outcome.FAILED, Outcome.INTENT, Outcome.DONE]
            assert client.audit.verify().finding is None


def test_a_cut_database_is_found_by_the_copy(tmp_path: Path) -> None:
    """Somebody deletes the newest records while the server is down: the copy and the checkpoint both know."""
    folder = tmp_path / "data"
    with ServerThread(folder) as server:
        for _ in range(3):
            server.http.post("/api/v1/agents/enrolments", json={})
    with sqlite3.connect(folder / "records.db") as database:
        database.execute("DELETE FROM audit WHERE id > 2")
    database.close()
    with ServerThread(folder) as server, Client(server.url, token=server.token) as client:
        found = client.audit.verify().finding
        assert found is not None
        assert found.record == 3


def test_the_server_itself_tells_of_a_change(tmp_path: Path) -> None:
    """It looks soon after its start and once a day: an event, and one only."""
    with ServerThread(tmp_path / "data") as server:
        server.http.post("/api/v1/agents/enrolments", json={})
        jobs = Jobs(server.services)
        server.run(jobs.verify_audit())
        assert server.events(EventKind.AUDIT_CHANGED) == []
        with sqlite3.connect(server.folder / "records.db") as database:
            database.execute("UPDATE audit SET network = '192.0.2.66' WHERE id = 2")
        database.close()
        server.run(jobs.verify_audit())
        server.run(jobs.verify_audit())
        (event,) = server.events(EventKind.AUDIT_CHANGED)
        assert "Record 2 was changed" in event["message"]


def test_a_damaged_copy_is_an_error(tmp_path: Path) -> None:
    """A line that is no record is named."""
    path = tmp_path / "copy.jsonl"
    path.write_bytes(b'{"record":{"id":1}}\n')
    with pytest.raises(StorageError, match="Line 1"):
        list(read_lines(path))
