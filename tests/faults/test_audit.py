"""The audit trail under faults (F25): killed between intent and outcome, a disk that fails to sync."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cybercorp.client.synchronous import Client
from cybercorp.protocol.audit import AuditRecord, Outcome
from cybercorp.security.audit_files import read_lines, verify_file
from tests.faults.servers import FaultyServer
from tests.faults.shim import Shim, needs_shim

pytestmark = pytest.mark.timeout(600)


class Changers:
    """Threads that change things until the server is gone; `made` counts what it said was done."""

    def __init__(self, server: FaultyServer, count: int = 4) -> None:
        self.made = 0
        self.statuses: set[int] = set()
        self._headers = server.owner
        self._url = f"{server.url}/api/v1/agents/enrolments"
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._change, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _change(self) -> None:
        with httpx.Client(headers=self._headers, timeout=10) as http:
            while True:
                try:
                    status = http.post(self._url, json={}).status_code
                except httpx.HTTPError:
                    return
                with self._lock:
                    self.statuses.add(status)
                    self.made += status == 201

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


def trail(server: FaultyServer) -> list[AuditRecord]:
    """Every record, checked by the server first."""
    with Client(server.url, token=server.owner["Authorization"].removeprefix("Bearer ")) as client:
        assert client.audit.verify().finding is None
        found: list[AuditRecord] = []
        after: int | None = 0
        while after is not None:
            page = client.audit.list(after=after, limit=1000)
            found += page.records
            after = page.next_after
        return found


def check(records: list[AuditRecord], made: int) -> None:
    """Each intent has one outcome, each answered change is told as done."""
    changes = [one for one in records if one.operation == "enrolment.create"]
    intents = [one.id for one in changes if one.outcome is Outcome.INTENT]
    outcomes = [one.intent for one in changes if one.outcome is not Outcome.INTENT]
    assert sorted(intents) == sorted(outcomes)  # type: ignore[type-var]
    assert sum(one.outcome is Outcome.DONE for one in changes) >= made


@pytest.mark.slow
def test_killed_between_intent_and_outcome(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """kill -9 at any moment: no answered change without its record, no open intent, no false alarm afterwards."""
    server = FaultyServer(tmp_path)
    chance, made, unknown = random.Random(25), 0, 0
    try:
        for _ in range(times(3, 100)):
            server.start()
            changers = Changers(server)
            time.sleep(chance.uniform(0.1, 0.5))
            server.kill()
            changers.join()
            made += changers.made
        server.start()
        records = trail(server)
        check(records, made)
        unknown = sum(one.outcome is Outcome.UNKNOWN for one in records)
        assert made > 10
        assert unknown < made
    finally:
        server.kill()
    assert verify_file(server.data_dir / "audit.jsonl", keys=keys_of(server))[0].finding is None


def keys_of(server: FaultyServer) -> list[str]:
    """The public keys that the server told, asked of a server that runs again."""
    server.start()
    try:
        with Client(server.url, token=server.owner["Authorization"].removeprefix("Bearer ")) as client:
            return [one.public_key for one in client.audit.list_keys()]
    finally:
        server.kill()


@needs_shim
def test_a_copy_that_cannot_be_synced(tmp_path: Path) -> None:
    """EIO of the second copy: changes are refused until it can be synced; then it is whole."""
    disk = tmp_path / "audited"
    disk.mkdir()
    shim = Shim(tmp_path / "shim", disk)
    server = FaultyServer(tmp_path, {**shim.environment, "CYBERCORP_SERVER_AUDIT_FILE": str(disk / "copy.jsonl")})
    try:
        server.start()
        copied = list(read_lines(shim.durable / "copy.jsonl"))
        shim.fail_syncs(count=1_000_000)
        with httpx.Client(headers=server.owner, timeout=10) as http:
            for _ in range(3):
                assert http.post(f"{server.url}/api/v1/agents/enrolments", json={}).status_code == 503
            assert http.get(f"{server.url}/api/v1/hosts").status_code == 200
            assert list(read_lines(shim.durable / "copy.jsonl")) == copied
            shim.set("fail_from", 0)
            assert http.post(f"{server.url}/api/v1/agents/enrolments", json={}).status_code == 201
        records = trail(server)
        check(records, 1)
    finally:
        server.kill()
    ids = [one.record.id for one in read_lines(shim.durable / "copy.jsonl") if one.record is not None]
    assert ids == list(range(1, len(ids) + 1))
