"""`cybercorp keys`, and backups that only a key or a passphrase opens: with a real server, as a person uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.cli.main import run
from cybercorp.core.errors import AccessError, StorageCorruptError
from cybercorp.core.paths import write_private_file
from cybercorp.protocol.agents import Acknowledge, Record, RecordType
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.key_sources import format_key
from cybercorp.security.vault import new_key
from cybercorp.server.jobs import loops
from tests.integration.serving import ServerThread, ShiftedClock, now_ms
from tests.stack import wait_until
from tests.unit.store.timeseries.test_encryption import MARKER, table_of


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def server(tmp_path: Path, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """A running server on SQLite whose host has recorded a process table; it looks after its keys all the time."""
    monkeypatch.setattr(loops, "KEYS_S", 0.1)
    with ServerThread(tmp_path / "data", clock) as made:
        with made.agent("web-1") as agent:
            at = now_ms()
            agent.send_records([Record(1, at, RecordType.PROCESSES, "", table_of(at))])
            assert agent.expect(Acknowledge).seq == 1
        yield made


def cybercorp(folder: Path, *arguments: str) -> int:
    return run(["--data-dir", str(folder), *arguments])


def command_at(server: ServerThread) -> str:
    """The command line in the recorded table."""
    table = server.get("/api/v1/hosts/web-1/processes", at_ms=now_ms())["table"]
    return msgspec.convert(table, ProcessTable).command[0]


def states(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert cybercorp(folder, "keys", "status", "-o", "json") == 0
    return [key["state"] for key in json.loads(capsys.readouterr().out)]


def test_rotation_while_the_server_serves(
    server: ServerThread, clock: ShiftedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line to the end: the old key is destroyed, and the history is there, also after a restart."""
    folder = server.folder
    assert states(folder, capsys) == ["current"]
    assert cybercorp(folder, "keys", "rotate") == 0
    assert "Key 2 encrypts within seconds" in capsys.readouterr().out
    assert cybercorp(folder, "keys", "rotate") != 0
    assert "just begun" in capsys.readouterr().err
    server.services.store.seal(everything=True)

    def over() -> bool:
        clock.shift_s += 30
        return states(folder, capsys) == ["retired", "current"]

    wait_until(over, "the old key is destroyed")
    assert command_at(server) == MARKER
    server.stop()
    with ServerThread(folder) as again:
        assert command_at(again) == MARKER
        assert states(folder, capsys) == ["retired", "current"]
        told = [one["operation"] for one in again.get("/api/v1/audit/", operation=["key.*"])["records"]]
        assert told == ["key.rotate", "key.rotate", "key.retire"]


@pytest.mark.slow
def test_a_backup_opens_on_an_empty_machine(
    server: ServerThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the passphrase, or with the key, and not without; then the new server shows the same history."""
    good, bad, short = (tmp_path / name for name in ("good", "bad", "short"))
    good.write_text("four unrelated words\n")
    bad.write_text("five unrelated words\n")
    short.write_text("short\n")
    path = tmp_path / "all.zip"
    assert cybercorp(server.folder, "server", "backup", str(path), "--passphrase-file", str(short)) == 2
    assert not path.exists()
    assert cybercorp(server.folder, "server", "backup", str(path), "--passphrase-file", str(good)) == 0
    assert "opens with its passphrase, or with the key" in capsys.readouterr().err
    new, restore = tmp_path / "new", ("server", "restore", str(path))
    assert cybercorp(new, *restore) == 3
    assert "--passphrase-file" in capsys.readouterr().err
    assert cybercorp(new, *restore, "--passphrase-file", str(bad)) == 3
    assert "not the one" in capsys.readouterr().err
    assert not list(new.glob("*")) if new.exists() else True
    assert cybercorp(new, *restore, "--passphrase-file", str(good)) == 0
    with ServerThread(new) as opened:
        assert command_at(opened) == MARKER
    other = tmp_path / "other"
    assert cybercorp(other, *restore, "--key-file", str(server.folder / "key-encryption-key")) == 0
    with ServerThread(other) as opened:
        assert command_at(opened) == MARKER
    plain = tmp_path / "plain.zip"
    assert cybercorp(server.folder, "server", "backup", str(plain)) == 0
    assert cybercorp(tmp_path / "third", "server", "restore", str(plain), "--passphrase-file", str(good)) == 2
    assert "without a passphrase" in capsys.readouterr().err


def examined(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What the doctor says of the key."""
    capsys.readouterr()
    cybercorp(folder, "doctor", "-o", "json")
    (one,) = [one for one in json.loads(capsys.readouterr().out) if one["check"] == "key"]
    return one["verdict"], one["found"]


def test_a_server_without_its_key_does_not_start(server: ServerThread, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so and makes no other one; with the key everything is there. What needs no key works without."""
    key = server.folder / "key-encryption-key"
    kept = key.read_text()
    server.stop()
    key.unlink()
    with pytest.raises(AccessError, match="is not there any more"), ServerThread(server.folder):
        pass
    assert cybercorp(server.folder, "server", "backup", str(server.folder / "all.zip"), "--force") == 3
    assert not key.exists()
    write_private_file(key, format_key(new_key()))
    with pytest.raises(StorageCorruptError, match="were encrypted under the key"), ServerThread(server.folder):
        pass
    assert cybercorp(server.folder, "server", "check") == 0
    assert examined(server.folder, capsys)[0] == "failing"
    write_private_file(key, kept)
    assert examined(server.folder, capsys)[0] == "ok"
    key.chmod(0o644)
    verdict, found = examined(server.folder, capsys)
    assert (verdict, "read by others" in found) == ("failing", True)
    key.chmod(0o600)
    with ServerThread(server.folder) as again:
        assert command_at(again) == MARKER


def test_the_key_encryption_key_is_replaced(server: ServerThread, tmp_path: Path) -> None:
    """With both places named once, at a start; after that the key before is not needed, and does not open."""
    old, new = server.folder / "key-encryption-key", tmp_path / "elsewhere" / "key"
    write_private_file(new, format_key(new_key()))
    server.stop()
    with ServerThread(server.folder, key_source=f"file:{new}", old_key_source=f"file:{old}") as moved:
        assert command_at(moved) == MARKER
    with pytest.raises(StorageCorruptError, match="were encrypted under the key"), ServerThread(server.folder):
        pass
    old.unlink()
    with ServerThread(server.folder, key_source=f"file:{new}") as moved:
        assert command_at(moved) == MARKER
