"""`cybercorp server backup`, `restore`, `migrate`, `check`, and `doctor`: on both databases, as a person uses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.cli.main import run
from cybercorp.protocol.agents import Acknowledge
from cybercorp.store.records.database import Records
from tests.integration.serving import AgentPeer, ServerThread, now_ms


def counted(server: ServerThread) -> float:
    asked = {"metric": "load", "selector": "web-1", "aggregation": "count", "step_ms": 7_200_000}
    answer = server.get("/api/v1/metrics/query", **asked, start_ms=now_ms() - 3_600_000)
    return sum(value or 0 for one in answer["series"] for value in one["values"])


@pytest.fixture
def used(tmp_path: Path) -> Iterator[ServerThread]:
    """A running server on SQLite with a host and three rows."""
    with ServerThread(tmp_path / "data") as server:
        with server.agent("web-1") as agent:
            agent.announce()
            agent.samples(0.1, 0.2, 0.3)
            assert agent.expect(Acknowledge).seq == 3
            server.token_of_agent = agent.token  # type: ignore[attr-defined]
        yield server


def cybercorp(folder: Path, *arguments: str) -> int:
    return run(["--data-dir", str(folder), *arguments])


def test_a_running_server_on_sqlite_and_its_copies(
    used: ServerThread,
    tmp_path: Path,
    fresh_database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Saved while it runs, restored to an empty folder and an empty database, both of which serve the same."""
    path = tmp_path / "all.zip"
    assert cybercorp(used.folder, "server", "backup", str(path)) == 0
    told = capsys.readouterr()
    assert "1 host, " in told.out
    assert "opens only with the key" in told.err
    assert cybercorp(used.folder, "server", "backup", str(path)) != 0
    assert "exists already" in capsys.readouterr().err
    assert cybercorp(used.folder, "server", "restore", str(path)) != 0
    assert "nothing is ever overwritten" in capsys.readouterr().err
    assert cybercorp(tmp_path / "new", "server", "restore", str(path)) == 3
    assert "--key-file" in capsys.readouterr().err
    key = ("--key-file", str(used.folder / "key-encryption-key"))
    assert cybercorp(tmp_path / "new", "server", "restore", str(path), *key) == 0
    assert cybercorp(tmp_path / "new", "server", "restore", str(path), "--to-database", fresh_database_url) == 0
    told = capsys.readouterr()
    assert "every chunk verified" in told.out
    assert "database_url" in told.err
    for url in (None, fresh_database_url):
        with ServerThread(tmp_path / "new", database_url=url) as server:
            assert counted(server) == 3
            with AgentPeer(server.url, used.token_of_agent) as agent:  # type: ignore[attr-defined]
                agent.greet()
    monkeypatch.setenv("CYBERCORP_SERVER_DATABASE_URL", fresh_database_url)
    assert cybercorp(tmp_path / "new", "server", "check") == 0
    assert "is in order" in capsys.readouterr().out
    assert cybercorp(tmp_path / "new", "server", "backup", str(tmp_path / "again.zip")) == 0
    assert cybercorp(tmp_path / "new", "server", "migrate", "--to-database", fresh_database_url) != 0
    assert "that database already" in capsys.readouterr().err
    run(["--data-dir", str(tmp_path / "new"), "doctor", "-o", "json"])
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert "PostgreSQL" in found["database"]["found"]


def test_moving_to_postgresql(
    used: ServerThread, tmp_path: Path, fresh_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown first, then copied and verified; the source stays as it is, and nobody's data is overwritten."""
    move = ("server", "migrate", "--to-database", fresh_database_url)
    assert cybercorp(used.folder, *move, "--dry-run") == 0
    assert "Copy everything from" in capsys.readouterr().err
    assert cybercorp(used.folder, *move) == 0
    assert "every chunk verified" in capsys.readouterr().out
    assert cybercorp(used.folder, *move) != 0
    assert "holds data already" in capsys.readouterr().err
    key = f"file:{used.folder / 'key-encryption-key'}"
    with ServerThread(tmp_path / "other", database_url=fresh_database_url, key_source=key) as server:
        assert counted(server) == 3
    assert counted(used) == 3


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrating(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is done is shown before; going down has to be meant; a running server is not touched."""
    if kind == "postgresql":
        url = request.getfixturevalue("fresh_database_url")
        monkeypatch.setenv("CYBERCORP_SERVER_DATABASE_URL", url)
        opened = asyncio.run(Records.connect(url))
    else:
        opened = asyncio.run(Records.open(tmp_path / "records.db"))
    try:
        assert cybercorp(tmp_path, "server", "migrate") != 0
        assert "Another CyberCorp server uses" in capsys.readouterr().err
    finally:
        asyncio.run(opened.close())
    assert cybercorp(tmp_path, "server", "migrate", "--dry-run") == 0
    assert "nothing to do" in capsys.readouterr().err
    assert cybercorp(tmp_path, "server", "migrate", "--down") != 0
    assert "--yes" in capsys.readouterr().err
    assert cybercorp(tmp_path, "server", "migrate", "--to", "base", "--yes") == 0
    assert "down  0001" in capsys.readouterr().err
    assert cybercorp(tmp_path, "server", "migrate") == 0
    told = capsys.readouterr()
    assert "up    0001" in told.err
    assert "this version's schema" in told.out
    assert cybercorp(tmp_path, "server", "migrate", "--to", "x") != 0
    assert cybercorp(tmp_path, "server", "migrate", "--to", "head", "--down") != 0


def test_a_wrong_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its password is repeated nowhere."""
    for url in ("postgresql://u:geheim@127.0.0.1:1/d", "mysql://u:geheim@h/d"):
        assert cybercorp(tmp_path, "server", "restore", str(tmp_path / "x"), "--to-database", url) != 0
        told = capsys.readouterr()
        assert "geheim" not in told.err + told.out
