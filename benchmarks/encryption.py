"""What encryption at rest costs: CPU and bytes, with a key and without one, turn and turn about in one run.

    python -m benchmarks.encryption [TURNS]

Ingest: commits of 1,000 hosts for one second, each with 1,000 rows of 124 samples and 100 process tables (every host's
each ten seconds). History: six hours of an ordinary host of `process_history`, sealed and merged. Spool: an agent's
second, a row of samples and a commit; every tenth with a process table.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.measure import Result, report
from benchmarks.process_history import KINDS, START_MS, STEP_MS, record, tables
from cybercorp.agent.spool import Spool
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.security.vault import Vault, new_key
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

HOSTS, SERIES, TABLES = 1_000, 124, 100
HOURS = 6
LOOKS = 60
SPOOLED = 600
_ORDINARY = KINDS[1]


class _Plain:
    """A spool's cipher that changes nothing."""

    def seal(self, record: Record) -> bytes:
        return record.body

    def open(self, record: Record) -> bytes:
        return record.body


@contextlib.contextmanager
def _store(clock: ManualClock, vault: Vault | None) -> Iterator[TimeSeries]:
    with tempfile.TemporaryDirectory(prefix="cybercorp-encryption-") as folder:
        store = TimeSeries.open(Path(folder) / "samples.db", TimeSeriesSettings(), clock)
        if vault is not None:
            store.encrypt_with(vault)
        with contextlib.closing(store):
            yield store


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _turns(with_key: Callable[[], float], without: Callable[[], float], turns: int) -> tuple[float, float]:
    """Medians of both, measured by turns."""
    spent: dict[Callable[[], float], list[float]] = {with_key: [], without: []}
    for turn in range(turns):
        for one in (with_key, without) if turn % 2 else (without, with_key):
            spent[one].append(one())
    return statistics.median(spent[with_key]), statistics.median(spent[without])


def ingest(turns: int) -> list[Result]:
    """CPU of a commit."""
    catalogue = make_catalogue([Series(name=f"m{number}") for number in range(SERIES)])
    made = [msgspec.msgpack.encode(table) for table in tables(_ORDINARY, TABLES)]
    body = random.Random(1).randbytes(8 * SERIES)
    clock = ManualClock(START_MS)
    with _store(clock, Vault({1: new_key()}, 1)) as sealing, _store(clock, None) as plain:
        numbers = {id(sealing): 0, id(plain): 0}

        def commit(store: TimeSeries) -> float:
            numbers[id(store)] += 2
            number = numbers[id(store)]
            at = START_MS + number * 1000
            samples, processes = RecordType.SAMPLES, RecordType.PROCESSES
            rows = [StoredRow(host, "s", number, at, at, samples, catalogue.id, body) for host in range(HOSTS)]
            rows += [StoredRow(host, "s", number + 1, at, at, processes, "", made[host]) for host in range(TABLES)]
            return _cpu(lambda: store.write(rows))

        for store in (sealing, plain):
            store.register_catalogue(1, catalogue)
            commit(store)
        on, off = _turns(lambda: commit(sealing), lambda: commit(plain), turns * 20)
    rows = HOSTS + TABLES
    return [
        Result(work="ingest", figure="CPU a row, encrypted", value=1e6 * on / rows, unit="µs"),
        Result(work="ingest", figure="CPU a row, plain", value=1e6 * off / rows, unit="µs"),
        Result(work="ingest", figure="encrypted beside plain", value=100 * on / off, unit="%", bar=115),
    ]


def history(turns: int) -> list[Result]:
    """Bytes and CPU of six hours, and of a look at a past table."""
    count = HOURS * 360
    sizes: dict[bool, float] = {}
    looks: dict[bool, list[float]] = {True: [], False: []}

    def run(vault: Vault | None) -> float:
        clock = ManualClock(START_MS)
        with _store(clock, vault) as store:
            spent = _cpu(lambda: record(store, clock, _ORDINARY, 1, count))
            sizes[vault is not None] = store.stats().chunk_bytes
            chance = random.Random(2)
            for _ in range(LOOKS):
                at_ms = START_MS + chance.randrange(count) * STEP_MS
                looks[vault is not None].append(_cpu(lambda at_ms=at_ms: store.processes_at(1, at_ms, 60_000)))  # type: ignore[misc]
        return spent

    on, off = _turns(lambda: run(Vault({1: new_key()}, 1)), lambda: run(None), max(1, turns // 4))
    day = 24 / HOURS / 1e6
    return [
        Result(work="process history", figure="a day on disk, encrypted", value=sizes[True] * day, unit="MB", bar=1.0),
        Result(work="process history", figure="a day on disk, plain", value=sizes[False] * day, unit="MB"),
        Result(work="process history", figure="CPU, encrypted beside plain", value=100 * on / off, unit="%", bar=110),
        Result(
            work="process history",
            figure="CPU of a past table, encrypted",
            value=1e3 * statistics.median(looks[True]),
            unit="ms",
        ),
        Result(
            work="process history",
            figure="CPU of a past table, plain",
            value=1e3 * statistics.median(looks[False]),
            unit="ms",
        ),
    ]


def spool(turns: int) -> list[Result]:
    """CPU of an agent's second."""
    body = random.Random(3).randbytes(8 * SERIES)
    table = msgspec.msgpack.encode(next(tables(_ORDINARY, 1)))

    def run(*, encrypted: bool) -> float:
        with tempfile.TemporaryDirectory(prefix="cybercorp-encryption-") as folder:
            made = Spool(Path(folder), max_bytes=1 << 28, clock=ManualClock(START_MS), report=print)
            if not encrypted and made._file is not None:
                made._file._cipher = _Plain()  # type: ignore[assignment]

            def fill() -> None:
                for number in range(SPOOLED):
                    made.append(RecordType.SAMPLES, number, body, "c")
                    if number % 10 == 0:
                        made.append(RecordType.PROCESSES, number, table)
                    made.commit()

            spent = _cpu(fill)
            made.close()
        return spent / SPOOLED

    on, off = _turns(lambda: run(encrypted=True), lambda: run(encrypted=False), turns)
    return [
        Result(work="spool", figure="CPU a second, encrypted", value=1e6 * on, unit="µs"),
        Result(work="spool", figure="CPU a second, plain", value=1e6 * off, unit="µs"),
    ]


def rotation() -> list[Result]:
    """Process tables written with a new key."""
    clock = ManualClock(START_MS)
    vault = Vault({1: new_key()}, 1)
    with _store(clock, vault) as store:
        for host in range(1, 5):
            record(store, clock, _ORDINARY, host, 360)
        chunks = len(store._session.state.entries())
        vault.add(2, new_key())
        vault.use(2)
        began = time.process_time()
        while not store.reencrypt(64):
            pass
        spent = time.process_time() - began
    return [Result(work="rotation", figure="CPU a chunk of process tables", value=1e3 * spent / chunks, unit="ms")]


def measure(turns: int = 12) -> list[Result]:
    """Everything."""
    return [*ingest(turns), *history(turns), *spool(turns), *rotation()]


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
