"""Whoever gets the disk, a backup or the logs, and not the key, learns no secret and no command line."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from cybercorp.agent.spool import Spool
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.security.vault import Vault
from cybercorp.store.timeseries.index import BUCKET_MS
from tests.attacks.searching import holds, where_found
from tests.stack import Stack, running_stack, wait_until
from tests.unit.store.building import START_MS, open_store
from tests.unit.store.timeseries.test_encryption import MARKER, write

COMMAND_LINE = "--password=K7-opensesame-9f41"
PASSWORD = "marker-passphrase-57c3"
BARE = MARKER.encode()


class TestTheSearch:
    """A search that finds nothing says nothing, unless it finds what is there."""

    @pytest.mark.parametrize("tables", [1, 3, 90])
    def test_it_finds_what_is_not_encrypted(self, tmp_path: Path, tables: int) -> None:
        """In the log, in fresh chunks and in merged ones of a store without a key: compressed, and across pages."""
        clock = ManualClock(START_MS)
        with contextlib.closing(open_store(tmp_path, clock)) as store:
            for minute in range(tables):
                write(store, minute + 1, minute)
            assert any("log" in one for one in where_found(tmp_path, [BARE]))
            store.seal(everything=True)
            clock.advance(5 * BUCKET_MS / 1000)
            while store.seal(everything=True).pending:
                pass
        assert any("chunk_bodies" in one for one in where_found(tmp_path, [BARE]))

    def test_it_finds_nothing_of_the_same_with_a_key(self, tmp_path: Path) -> None:
        """The same rows, and the spool that they came from."""
        clock = ManualClock(START_MS)
        spool = Spool(tmp_path, max_bytes=1 << 24, clock=clock, report=print)
        with contextlib.closing(open_store(tmp_path, clock)) as store:
            store.encrypt_with(Vault({1: b"k" * 32}, 1))
            for minute in range(90):
                write(store, minute + 1, minute)
                spool.append(RecordType.PROCESSES, minute, BARE)
                spool.commit()
            assert where_found(tmp_path, [BARE]) == []
            store.seal(everything=True)
            clock.advance(5 * BUCKET_MS / 1000)
            while store.seal(everything=True).pending:
                pass
        assert where_found(tmp_path, [BARE]) == []
        spool.close()
        assert where_found(tmp_path, [BARE]) == []

    def test_it_knows_spellings(self) -> None:
        """Hexadecimal, base64 at any place, 16-bit letters, packed twice."""
        for shift in range(3):
            assert holds(base64.b64encode(b"x" * shift + BARE + b"tail"), BARE)
        assert holds(BARE.hex().encode(), BARE)
        assert holds(MARKER.encode("utf-16-le"), BARE)
        assert holds(b"junk" + zlib.compress(b"more" + zlib.compress(BARE)) + b"junk", BARE)
        assert not holds(os.urandom(100_000), BARE)


@pytest.mark.slow
def test_the_whole_product_keeps_its_secrets(tmp_path: Path) -> None:
    """Server and agent of `cybercorp up`, a busy process with a password on its command line, a user with a second
    factor, a backup: nothing of it is readable in data folder, spool, backup or logs; the history shows it.
    """
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "agent.toml").write_text("top_processes_interval_s = 1\ntop_processes = 1000\n")
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", COMMAND_LINE])
    try:
        with running_stack(tmp_path) as stack:
            tokens, totp = _a_user(stack)
            wait_until(lambda: COMMAND_LINE in _history(stack), "the command line is in the history", 60)
            backup = tmp_path / "backup.zip"
            stack.run("server", "backup", str(backup))
            secrets = [COMMAND_LINE.encode(), PASSWORD.encode(), tokens["refresh_token"].encode(), *_keys_of(totp)]
            secrets += [tokens["access_token"].encode()]
            assert where_found(tmp_path, secrets) == []
            stack.run("keys", "rotate")
            assert "coming" in stack.run("keys", "status").stdout
        assert where_found(tmp_path, secrets) == []
    finally:
        victim.kill()
        victim.wait(10)


def _keys_of(totp: str) -> list[bytes]:
    return [totp.encode(), pyotp.TOTP(totp).byte_secret()]


def _history(stack: Stack) -> str:
    return stack.run("ps", "--at", "2s ago", "-o", "json", check=False).stdout


def _a_user(stack: Stack) -> tuple[dict[str, Any], str]:
    """The tokens of a new user, and the secret of their authenticator app."""

    def call(path: str, token: str | None, body: dict[str, str]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(
            f"{stack.url}/api/v1{path}", headers=headers, json=body, trust_env=False, verify=False, timeout=20
        )
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    call("/users/", stack.token, {"name": "ann", "password": PASSWORD, "role": "viewer"})
    tokens = call("/login", None, {"name": "ann", "password": PASSWORD, "client": "cli"})
    setup = call("/mfa/totp", tokens["access_token"], {"name": "phone"})
    return tokens, str(setup["secret"])
