"""What the engine needs from a database: the seam between the engine and SQLite.

All methods that change something are called by one thread at a time (the engine holds its write lock); `reader` may be
called by many at once. Every method raises StorageError and its subclasses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from cybercorp.store.timeseries.encoding.chunks import Read


class ChunkGoneError(Exception):
    """The chunk was merged or dropped since the index was read: look again."""


class ChunkEntry(NamedTuple):
    """The index row of a chunk. `catalogue` is 0 for process tables.

    `first`..`last` number the sealed blocks of one host and kind in order of arrival: a chunk merged from neighbours
    covers their numbers, so the order of arrival of all rows is known for ever.
    """

    id: int
    host: int
    kind: int
    catalogue: int
    bucket: int
    first: int
    last: int
    start_ms: int
    end_ms: int
    rows: int
    size_bytes: int
    received_ms: int

    @property
    def owner(self) -> tuple[int, int]:
        """What the chunk's own header has to say: host and catalogue."""
        return self.host, self.catalogue


class CatalogueRow(NamedTuple):
    """A catalogue with its number in this store; `packed` is the MessagePack of its series, `width` of them."""

    number: int
    id: str
    width: int
    packed: bytes


class HostMark(NamedTuple):
    """Log entries up to `sealed` are in chunks already; those up to `dropped` belong to a host that was removed."""

    host: int
    sealed: int
    dropped: int


class LogEntry(NamedTuple):
    """All rows of one commit: `head` says which, `body` holds their values and is read only when they are needed.

    Entries of older versions have an empty head: their body tells everything.
    """

    number: int
    received_ms: int
    head: bytes
    body: bytes


class Loaded(NamedTuple):
    """All that is read when the database is opened, but the chunks' bodies. `damage` tells what could not be used."""

    catalogues: list[CatalogueRow]
    chunks: list[ChunkEntry]
    streams: list[tuple[int, str, int]]
    marks: list[HostMark]
    next_log: int
    damage: list[str]


class Sizes(NamedTuple):
    """Bytes: the database file, its write-ahead log, and pages inside that hold nothing now."""

    file_bytes: int
    wal_bytes: int
    unused_bytes: int


class ChunkStorage(Protocol):
    def load(self) -> Loaded: ...

    def log_heads(self) -> Iterator[tuple[int, int, bytes]]:
        """Every log entry in order: its number, when it was received, its head. No body is read."""
        ...

    def append(self, entry: LogEntry, catalogues: Sequence[CatalogueRow]) -> None:
        """Durable on return."""
        ...

    def add_chunks(
        self, chunks: Sequence[tuple[ChunkEntry, bytes]], marks: Sequence[HostMark], *, settled: bool = False
    ) -> None:
        """`settled` chunks are not expected to be merged soon: a hint on where to put them."""
        ...

    def replace_chunks(self, old: Sequence[int], entry: ChunkEntry, body: bytes) -> None: ...

    def delete_chunks(self, ids: Sequence[int]) -> None: ...

    def drop_before(self, kind: int, before_ms: int, ids: Sequence[int]) -> None:
        """Delete chunks of one kind that end before a time: retention. What lies in partitions goes as a whole."""
        ...

    def trim_log(self, up_to: int, next_log: int, streams: Sequence[tuple[int, str, int]]) -> None:
        """Delete log entries up to `up_to`, and keep the acknowledgements that were only in them."""
        ...

    def oldest_log(self, up_to: int, size_bytes: int) -> list[int]:
        """The oldest log entries up to `up_to` that make about `size_bytes`; at least one, if there is one."""
        ...

    def drop_host(self, mark: HostMark, chunks: Sequence[ChunkEntry]) -> None:
        """Forget the host's streams and give its chunks to nobody (a negative host); their bytes are deleted later."""
        ...

    def add_catalogues(self, catalogues: Sequence[CatalogueRow]) -> None:
        """Those of a backup; what is written brings its own."""
        ...

    def delete_catalogues(self, numbers: Sequence[int]) -> None: ...

    def set_meta(self, values: dict[str, str]) -> None: ...

    def meta(self) -> dict[str, str]: ...

    def reader(self) -> AbstractContextManager[ChunkBodies]: ...

    def sizes(self) -> Sizes: ...

    def shrink(self, size_bytes: int) -> None:
        """Give up to `size_bytes` of unused pages back to the file system."""
        ...

    def check(self) -> Iterable[str]:
        """What the database itself finds wrong with its file."""
        ...

    def reopen(self) -> None:
        """Drop all handles after an input/output error and make what is in the file durable again."""
        ...

    def close(self) -> None: ...


class ChunkBodies(Protocol):
    """A reader's view of the bytes of chunks and log entries."""

    def open(self, chunk_id: int) -> AbstractContextManager[Read]:
        """Raises ChunkGoneError, DamagedChunkError."""
        ...

    def log_head(self, number: int) -> bytes:
        """The head of a log entry. Raises ChunkGoneError."""
        ...

    def log_body(self, number: int) -> AbstractContextManager[Read]:
        """The body of a log entry. Raises ChunkGoneError, DamagedChunkError."""
        ...
