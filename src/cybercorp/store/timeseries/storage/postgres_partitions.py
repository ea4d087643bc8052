"""Partitions of the log and of chunk bodies: which one a row lies in, made ahead, dropped when nothing is in them.

Short chunks of samples and process tables lie in the tier FRESH by the hour in which they arrived. Merging leaves them
there as waste and writes the long chunk to the partition of its own time; an hour with no chunk left goes as a whole.
So what is written every minute never makes PostgreSQL clean up row by row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from cybercorp.store.timeseries.storage.contract import ChunkEntry

FRESH = 0
LOG_SPAN = 1024
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# By tier, which is FRESH or the kind of chunk: rollups are small and kept for long.
_SPANS_MS = {FRESH: _HOUR_MS, 1: _DAY_MS, 2: _DAY_MS, 3: 10 * _DAY_MS, 4: 100 * _DAY_MS}
_LONGEST_MS = 100 * _DAY_MS
_FRESH_KINDS = (1, 2)
_LONG_MS = _HOUR_MS
# A reader holds a table for one short statement; whoever holds it for longer (a dump) is not waited for.
_DROP_WAIT = "SET LOCAL lock_timeout = '300ms'"
_COUNTS = "SELECT tier, at_ms, count(*), sum(size_bytes) FROM chunks GROUP BY 1, 2"
_NO_CLEANING = "autovacuum_enabled = false, toast.autovacuum_enabled = false"


class Part(NamedTuple):
    """One partition of chunk bodies: its tier, and the number of its span."""

    tier: int
    number: int

    @property
    def at_ms(self) -> int:
        return self.number * _span(self.tier)

    @property
    def name(self) -> str:
        return f"chunk_bodies_{self.tier}_{self.number}".replace("-", "m")

    def next(self) -> Part:
        return Part(self.tier, self.number + 1)


def part_of(entry: ChunkEntry, *, settled: bool = False) -> Part:
    """Where the body of a chunk goes; a `settled` one is not merged soon, however short it is."""
    if not settled and entry.kind in _FRESH_KINDS and entry.end_ms - entry.start_ms < _LONG_MS:
        return Part(FRESH, entry.received_ms // _HOUR_MS)
    return Part(entry.kind, entry.start_ms // _span(entry.kind))


def part_at(tier: int, at_ms: int) -> Part:
    return Part(tier, at_ms // _span(tier))


class BodyPartitions:
    """Knows which partitions there are, and how many chunks are in each. Used by the writer alone."""

    def __init__(self) -> None:
        self._there: set[Part] = set()
        self._live: dict[Part, int] = {}
        self._newest: dict[int, int] = {}
        self.wasted_bytes: dict[Part, int] = {}

    def load(self, connection: psycopg.Connection[Any]) -> None:
        """Read what is there."""
        self._there, self._live, self._newest, self.wasted_bytes = set(), {}, {}, {}
        sizes: dict[Part, int] = {}
        for name, size in _children(connection, "chunk_bodies"):
            tier, number = name.removeprefix("chunk_bodies_").split("_")
            part = Part(int(tier), int(number.replace("m", "-")))
            self._there.add(part)
            sizes[part] = size
        for tier, at_ms, count, used in connection.execute(_COUNTS):
            part = part_at(tier, at_ms)
            self._live[part] = count
            self._newest[tier] = max(self._newest.get(tier, part.number), part.number)
            sizes[part] = sizes.get(part, 0) - int(used)
        self.wasted_bytes = {part: max(0, size) for part, size in sizes.items() if part.tier == FRESH}

    def ensure(self, connection: psycopg.Connection[Any], parts: Iterable[Part]) -> None:
        """Make those that are missing, and the next one of each newest, before it is needed."""
        for part in sorted(set(parts)):
            newest = self._newest.get(part.tier, -math.inf)
            wanted = [part] if part.number <= newest else [part, part.next()]
            self._newest[part.tier] = max(int(newest) if newest > -math.inf else part.number, part.number)
            for one in wanted:
                if one not in self._there:
                    self._make(connection, one)
                    self._there.add(one)

    def added(self, part: Part, count: int = 1) -> None:
        self._live[part] = self._live.get(part, 0) + count

    def removed(self, part: Part, size_bytes: int, *, wasted: bool) -> bool:
        """A chunk is no more; `wasted` where its body stays until the partition goes. Whether it was the last one."""
        self._live[part] = self._live.get(part, 0) - 1
        if wasted:
            self.wasted_bytes[part] = self.wasted_bytes.get(part, 0) + size_bytes
        return self._live[part] <= 0

    def drop_empty(self, connection: psycopg.Connection[Any]) -> None:
        """Drop partitions that nothing is in, but for the newest and those ahead of it. One that is held is left."""
        for part in sorted(self._there):
            if self._live.get(part, 0) <= 0 and part.number < self._newest.get(part.tier, -(1 << 62)):
                if not drop_table(connection, part.name):
                    return
                self._there.discard(part)
                self._live.pop(part, None)
                self.wasted_bytes.pop(part, None)

    def stale(self, hours: int) -> Iterator[Part]:
        """Fresh partitions so much older than the newest that hold chunks which nothing merged."""
        last = self._newest.get(FRESH, 0) - hours
        return (part for part in sorted(self._there) if part.tier == FRESH and part.number < last)

    def _make(self, connection: psycopg.Connection[Any], part: Part) -> None:
        low, high = part.at_ms, part.next().at_ms
        options = _NO_CLEANING if part.tier == FRESH else ""
        _attach(connection, "chunk_bodies", part.name, f"({part.tier}, {low})", f"({part.tier}, {high})", options)


class LogPartitions:
    """The partitions of the log. Used by the writer alone."""

    def __init__(self) -> None:
        self._there: set[int] = set()

    def load(self, connection: psycopg.Connection[Any]) -> None:
        """Read what is there."""
        self._there = {int(name.removeprefix("log_")) for name, _ in _children(connection, "log")}

    def ensure(self, connection: psycopg.Connection[Any], number: int) -> None:
        """Make the one of this commit, and the next one halfway before it is needed."""
        for part in {number // LOG_SPAN, (number + LOG_SPAN // 2) // LOG_SPAN} - self._there:
            low, high = part * LOG_SPAN, (part + 1) * LOG_SPAN
            _attach(connection, "log", f"log_{part}", f"({low})", f"({high})", _NO_CLEANING)
            self._there.add(part)

    def drop_until(self, connection: psycopg.Connection[Any], up_to: int) -> None:
        """Drop those whose commits all lie at or before `up_to`."""
        for part in sorted(self._there):
            if (part + 1) * LOG_SPAN - 1 > up_to or not drop_table(connection, f"log_{part}"):
                return
            self._there.discard(part)


def drop_table(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether it is gone; not where somebody holds it."""
    try:
        with connection.transaction():
            connection.execute(_DROP_WAIT)
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def _span(tier: int) -> int:
    return _SPANS_MS.get(tier, _LONGEST_MS)


def _children(connection: psycopg.Connection[Any], parent: str) -> list[tuple[str, int]]:
    """Name and bytes of each."""
    found = connection.execute(
        "SELECT child.relname, pg_table_size(child.oid) FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
        " WHERE inhparent = to_regclass(%s)",
        (parent,),
    )
    return [(name, size) for name, size in found.fetchall()]


def _attach(
    connection: psycopg.Connection[Any], parent: str, name: str, low: str, high: str, options: str = ""
) -> None:
    """Made apart and attached: unlike CREATE TABLE … PARTITION OF this stops no reader and no writer."""
    table, above = sql.Identifier(name), sql.Identifier(parent)
    with connection.transaction():
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING INDEXES)").format(
                table, above
            )
        )
        if options:
            connection.execute(sql.SQL("ALTER TABLE {} SET ({})").format(table, sql.SQL(options)))
        connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM {} TO {}").format(
                above,
                table,
                sql.SQL(low),
                sql.SQL(high),
            )
        )
