"""What a backup is made of, whatever database it comes from or goes to. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from cybercorp.store.timeseries.storage.contract import CatalogueRow, ChunkEntry, HostMark, LogEntry

FORMAT = 1
RECORD_TABLES = (
    "meta",
    "hosts",
    "tokens",
    "events",
    "users",
    "sessions",
    "refresh_tokens",
    "factors",
    "roles",
    "bindings",
    "elevations",
    "api_tokens",
    "data_keys",
    "signing_keys",
    "certificates",
    "agents",
    "audit",
    "audit_checkpoints",
)
NUMBERED = {"hosts": "key", "events": "id"}  # tables that number their rows, and never use a number twice
OWN_META = ("schema", "next_log", "trimmed", "restoring")  # what each store keeps for itself

Tell = Callable[[int, int], None]  # rows done, rows expected
Row = dict[str, Any]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of each kind."""

    records: dict[str, int]
    catalogues: int
    streams: int
    marks: int
    log: int
    chunks: int

    @property
    def total(self) -> int:
        return sum(self.records.values()) + self.catalogues + self.streams + self.marks + self.log + self.chunks


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a source holds at one moment. `numbers` is the last number given out, by table."""

    revision: str
    numbers: dict[str, int]
    next_log: int
    meta: dict[str, str]
    counts: Counts
    damage: list[str] = []


class Stream(NamedTuple):
    host: int
    stream: str
    acked: int


class Source(Protocol):
    """One moment of a database; every method raises StorageError."""

    contents: Contents

    def records(self, table: str) -> Iterator[Row]: ...

    def catalogues(self) -> Iterator[CatalogueRow]: ...

    def streams(self) -> Iterator[Stream]: ...

    def marks(self) -> Iterator[HostMark]: ...

    def log(self) -> Iterator[LogEntry]: ...

    def chunks(self) -> Iterator[tuple[ChunkEntry, bytes]]: ...

    def close(self) -> None: ...
