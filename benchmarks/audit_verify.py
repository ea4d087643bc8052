"""What `cybercorp audit verify` costs: reading every record, the chain, the signatures and the second copy beside it.

    python -m benchmarks.audit_verify [RECORDS]

Records as a server writes them, with a checkpoint every 256; the whole check, the best of five, on SQLite, and on
PostgreSQL where there is one. It is one thread that waits for nothing: the bar is its CPU, which other work on the
machine does not lengthen; alone it takes the same time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.measure import Result, report
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.audit import Outcome
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.audit_writer import CHECKPOINT_RECORDS
from cybercorp.store.records.audit import NewRecord
from cybercorp.store.records.database import Records
from tests.postgres import postgres_server

TURNS = 5
BAR_US = 5.0  # 200,000 a second


def _record(number: int) -> NewRecord:
    return NewRecord(
        time_ms=1_790_000_000_000 + number,
        operation="host.remove",
        actor_kind="user",
        actor_id="user_01JABCDEF0123456789",
        actor="ada",
        session_id="session_01JABCDEF0123456789",
        network="192.0.2.1",
        target_kind="host",
        target_id="host_01JABCDEF0123456789",
        target=f"web-{number}",
        decision="allowed",
        outcome=Outcome.DONE,
        intent=number or None,
        detail={"route": "DELETE /api/v1/hosts/{host}"},
    )


async def _check(open_records: Callable[[], Awaitable[Records]], folder: Path, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds a record, with the second copy."""
    records = await open_records()
    vault, clock = Vault({1: new_key()}, 1), ManualClock()
    audit = AuditService(records.audit, records.signing_keys, vault, clock, folder / f"{id(records)}.jsonl")
    best = (float("inf"), float("inf"))
    try:
        for first in range(0, count, CHECKPOINT_RECORDS):
            await audit._writer._write([_record(n) for n in range(first, min(count, first + CHECKPOINT_RECORDS))])
            await audit.checkpoint()
        for _ in range(TURNS):
            wall, cpu = time.perf_counter(), time.process_time()
            found = await audit.verify()
            best = (
                min(best[0], (time.perf_counter() - wall) / count),
                min(best[1], (time.process_time() - cpu) / count),
            )
            if found.finding is not None or found.records != count:
                raise RuntimeError(f"a trail that nobody changed is blamed: {found}")
    finally:
        await audit.close()
        await records.close()
    return best


def _results(work: str, best: tuple[float, float], bar: float | None) -> list[Result]:
    return [
        Result(work=work, figure="time a record", value=1e6 * best[0], unit="µs"),
        Result(work=work, figure="records a second", value=1 / best[0], unit="/s"),
        Result(work=work, figure="CPU of the server a record", value=1e6 * best[1], unit="µs", bar=bar),
    ]


def measure(count: int = 100_000) -> list[Result]:
    """Everything."""
    with tempfile.TemporaryDirectory(prefix="cybercorp-audit-") as name:
        folder = Path(name)
        found = asyncio.run(_check(lambda: Records.open(folder / "records.db"), folder, count))
        results = _results("audit verify, SQLite", found, BAR_US)
        try:
            with postgres_server() as server:
                found = asyncio.run(_check(lambda: Records.connect(server.url), folder, count))
                results += _results("audit verify, PostgreSQL", found, None)
        except FileNotFoundError:
            pass
    return results


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
