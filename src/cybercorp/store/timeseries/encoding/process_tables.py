"""Process tables of a host as few bytes, and back as they came. Pure functions.

A table is forty rows of fifteen columns, most of which say the same as ten seconds before. So each process is written
down once with what never changes (numbers, names, command line); which tables it is in is a row of bits; and its
columns are written one process after the other, where neighbours differ little.

    magic, sections: tables as they came where they could not be taken apart, texts, processes, presence, heads, columns

Tables come back byte by byte: each is put together again before its parts are kept, and one that would differ (an
unknown field, a number that does not fit) is kept whole. Whoever stores the bytes keeps a checksum.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.processes import ProcessChanges, ProcessTable
from cybercorp.store.timeseries.encoding.columns import decode_column, encode_column
from cybercorp.store.timeseries.encoding.integer_columns import decode_integers, encode_integers
from cybercorp.store.timeseries.rows import Integers

MAGIC: Final = b"PT1"
_LEVEL = 12
_MAX_BYTES = 1 << 28
# What never changes while a process lives, in the order of its row; texts by their number.
_NUMBERS, _TEXTS = ("pid", "started_at_ms", "parent"), ("name", "command", "user")
_INTEGERS, _FLOATS, _LETTERS = ("rss_bytes", "threads"), ("cpu_time_s",), ("state",)
_MAYBE_INTEGERS, _MAYBE_FLOATS = ("read_bytes", "write_bytes"), ("cpu", "read_rate", "write_rate")
_CHANGING = (*_INTEGERS, *_FLOATS, *_LETTERS, *_MAYBE_INTEGERS, *_MAYBE_FLOATS)
_COLUMNS = (*_NUMBERS, *_TEXTS, *_CHANGING)
_HEAD = ("timestamp_ms", "total", "partial")
_EMPTY: Final[dict[str, Any]] = {name: [] for name in _COLUMNS}
_DECODER = msgspec.msgpack.Decoder(ProcessTable)
_ENCODER = msgspec.msgpack.Encoder()
_Bits = NDArray[np.bool_]


class _OnlyChanges(msgspec.Struct, frozen=True):
    """What `changes_of` reads of a table."""

    changes: ProcessChanges | None = None


class _Sections(msgspec.Struct, array_like=True, frozen=True):
    """What the bytes hold. `whole` is [(number of the table, its bytes)], `extras` likewise heads with more fields."""

    tables: int
    whole: list[tuple[int, bytes]]
    extras: list[tuple[int, bytes]]
    texts: list[str]
    processes: int
    numbers: list[bytes]
    places: list[bytes]
    presence: bytes
    heads: list[bytes]
    columns: list[bytes]


def encode_tables(bodies: Sequence[bytes]) -> bytes:
    """The tables (MessagePack of ProcessTable, at least one), in their order."""
    whole = {number for number, body in enumerate(bodies) if not _is_plain(body)}
    packed = _encode(bodies, whole)
    different = {number for number, body in enumerate(TablesReader(packed).bodies()) if body != bodies[number]}
    return _encode(bodies, whole | different) if different else packed


_CHANGES = msgspec.msgpack.Decoder(_OnlyChanges)


class TablesReader:
    """Reads tables. Raises ValueError for bytes that `encode_tables` never wrote."""

    def __init__(self, data: bytes) -> None:
        try:
            unpacked = zstandard.ZstdDecompressor().decompress(data[len(MAGIC) :], max_output_size=_MAX_BYTES)
            self._sections = msgspec.msgpack.decode(unpacked, type=_Sections)
        except (zstandard.ZstdError, *UNREADABLE) as error:
            raise ValueError(f"the process tables cannot be read: {error}") from error
        self._whole = dict(self._sections.whole)

    def __len__(self) -> int:
        return self._sections.tables

    def body(self, number: int) -> bytes:
        """Table `number`, as it came."""
        found = self._whole.get(number)
        return found if found is not None else _ENCODER.encode(self.table(number))

    def bodies(self) -> list[bytes]:
        """All of them."""
        return [self.body(number) for number in range(len(self))]

    def table(self, number: int) -> ProcessTable:
        """Table `number`, typed. Raises msgspec.DecodeError for one that its agent sent malformed."""
        found = self._whole.get(number)
        if found is not None:
            return _DECODER.decode(found)
        index = int(self._indexes[number])
        present = np.flatnonzero(self._presence[:, index])
        rows = self._starts[present] + self._ranks[present, index]
        values: dict[str, Any] = {name: column[present].tolist() for name, column in self._processes.items()}
        values |= {name: column[rows].tolist() for name, column in self._columns.items()}
        head: dict[str, Any] = {name: self._heads[name][index].item() for name in _HEAD}
        extra = self._extras.get(number)
        if extra is not None:
            return msgspec.structs.replace(extra, **head, **values)
        return ProcessTable(**head, **values)

    def changes(self) -> Iterator[tuple[int, ProcessChanges]]:
        """The number of each table that tells of starts and exits, and what it tells."""
        told = {number: table.changes for number, table in self._extras.items()}
        for number, body in self._whole.items():
            told[number] = next((found for _, found in changes_of([body])), None)
        for number in sorted(told):
            found = told[number]
            if found is not None:
                yield number, found

    @functools.cached_property
    def _extras(self) -> dict[int, ProcessTable]:
        return {number: _DECODER.decode(data) for number, data in self._sections.extras}

    @functools.cached_property
    def _indexes(self) -> Integers:
        """The place of each table among those that were taken apart."""
        apart = np.array([number not in self._whole for number in range(len(self))])
        return np.cumsum(apart) - 1

    @property
    def _apart(self) -> int:
        return len(self) - len(self._whole)

    @functools.cached_property
    def _presence(self) -> _Bits:
        """[processes, tables taken apart]"""
        shape = (self._sections.processes, self._apart)
        bits = np.unpackbits(np.frombuffer(self._sections.presence, dtype=np.uint8), count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)

    @functools.cached_property
    def _ranks(self) -> Integers:
        """Of each process, how often it was seen before each table."""
        return np.cumsum(self._presence, axis=1, dtype=np.int64) - 1

    @functools.cached_property
    def _starts(self) -> Integers:
        """Where the rows of each process begin in the columns."""
        counts = self._presence.sum(axis=1)
        starts: Integers = np.cumsum(counts, dtype=np.int64) - counts
        return starts

    @functools.cached_property
    def _heads(self) -> dict[str, Integers | _Bits]:
        found = [decode_integers(data, self._apart) for data in self._sections.heads]
        return {"timestamp_ms": found[0], "total": found[1], "partial": found[2].astype(bool)}

    @functools.cached_property
    def _texts(self) -> NDArray[np.object_]:
        made = np.empty(len(self._sections.texts), dtype=object)
        made[:] = self._sections.texts
        return made

    @functools.cached_property
    def _processes(self) -> dict[str, Any]:
        count = self._sections.processes
        found: dict[str, Any] = {}
        for name, data in zip(_NUMBERS, self._sections.numbers, strict=True):
            found[name] = decode_integers(data, count) if count else np.empty(0, dtype=np.int64)
        for name, data in zip(_TEXTS, self._sections.places, strict=True):
            places = decode_integers(data, count) if count else np.empty(0, dtype=np.int64)
            found[name] = self._texts[places]
        return found

    @functools.cached_property
    def _columns(self) -> dict[str, Any]:
        rows = int(self._presence.sum())
        found = {name: _unpack(name, data, rows) for name, data in zip(_CHANGING, self._sections.columns, strict=True)}
        found["state"] = self._texts[found["state"]]
        return found


def changes_of(bodies: Sequence[bytes]) -> Iterator[tuple[int, ProcessChanges]]:
    """The number of each table that tells of starts and exits, and what it tells."""
    for number, body in enumerate(bodies):
        with contextlib.suppress(*UNREADABLE):
            found = _CHANGES.decode(body).changes
            if found is not None:
                yield number, found


class _Identity(NamedTuple):
    """What a process is as long as nothing of it changes."""

    pid: int
    started_at_ms: int
    parent: int
    name: str
    command: str
    user: str


def _is_plain(body: bytes) -> bool:
    """Whether a table can be taken apart: typed, even, its processes in one order, its numbers within int64."""
    try:
        table = _DECODER.decode(body)
    except UNREADABLE:
        return False
    if len({len(getattr(table, name)) for name in _COLUMNS}) != 1:
        return False
    keys = list(zip(table.pid, table.started_at_ms, strict=True))
    integers = (*_NUMBERS, *_INTEGERS, *_MAYBE_INTEGERS)
    numbers = [value for name in integers for value in getattr(table, name) if value is not None]
    numbers += [table.timestamp_ms, table.total]
    return keys == sorted(set(keys)) and all(-(1 << 62) < value < 1 << 62 for value in numbers)


def _encode(bodies: Sequence[bytes], whole: set[int]) -> bytes:
    apart = [(number, _DECODER.decode(body)) for number, body in enumerate(bodies) if number not in whole]
    tables = [table for _, table in apart]
    members = [list(map(_Identity, *(getattr(table, name) for name in _Identity._fields))) for table in tables]
    # Sorted by pid and start, every table's rows are in order; what else differs is as it appeared.
    first = {one: at for at, one in reversed(list(enumerate(one for row in members for one in row)))}
    processes = sorted(first, key=lambda one: (one.pid, one.started_at_ms, first[one]))
    numbers = {one: number for number, one in enumerate(processes)}
    presence = np.zeros((len(processes), len(tables)), dtype=bool)
    for index, row in enumerate(members):
        presence[[numbers[one] for one in row], index] = True
    owners = np.array([numbers[one] for row in members for one in row], dtype=np.int64)
    order = np.argsort(owners, kind="stable").tolist()
    texts: dict[str, int] = {}

    def place(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def integers(values: Sequence[int]) -> bytes:
        return encode_integers(np.array(values, dtype=np.int64)) if len(values) else b""

    columns = []
    for name in _CHANGING:
        joined = [value for table in tables for value in getattr(table, name)]
        values = [joined[at] for at in order]
        columns.append(_pack(name, [place(one) for one in values] if name in _LETTERS else values))
    sections = _Sections(
        tables=len(bodies),
        whole=[(number, bodies[number]) for number in sorted(whole)],
        extras=[(number, _ENCODER.encode(extra)) for number, table in apart if (extra := _extra(table)) is not None],
        texts=[],
        processes=len(processes),
        numbers=[integers([getattr(one, name) for one in processes]) for name in _NUMBERS],
        places=[integers([place(getattr(one, name)) for one in processes]) for name in _TEXTS],
        presence=np.packbits(presence).tobytes(),
        heads=[integers([int(getattr(table, name)) for table in tables]) for name in _HEAD],
        columns=columns,
    )
    sections = msgspec.structs.replace(sections, texts=list(texts))
    return MAGIC + zstandard.ZstdCompressor(level=_LEVEL).compress(_ENCODER.encode(sections))


def _extra(table: ProcessTable) -> ProcessTable | None:
    """The table without what is stored as columns, where more is in it."""
    bare = msgspec.structs.replace(table, timestamp_ms=0, total=0, partial=False, **_EMPTY)
    return bare if bare != ProcessTable(timestamp_ms=0, total=0) else None


def _pack(name: str, values: Sequence[Any]) -> bytes:
    if not values:
        return b""
    if name in _MAYBE_INTEGERS or name in _MAYBE_FLOATS:
        known = np.array([value is not None for value in values])
        mask = b"" if known.all() else np.packbits(known).tobytes()
        rest = [value for value in values if value is not None]
        return len(mask).to_bytes(4, "little") + mask + _pack_known(name, rest)
    return _pack_known(name, values)


def _pack_known(name: str, values: Sequence[Any]) -> bytes:
    if not values:
        return b""
    if name in _FLOATS or name in _MAYBE_FLOATS:
        return encode_column(np.array(values, dtype=np.float64))
    return encode_integers(np.array(values, dtype=np.int64))


def _unpack(name: str, data: bytes, rows: int) -> NDArray[Any]:
    if not rows:
        return np.empty(0, dtype=np.int64 if name in _LETTERS else object)
    if name in _MAYBE_INTEGERS or name in _MAYBE_FLOATS:
        size = int.from_bytes(data[:4], "little")
        known = np.ones(rows, dtype=bool)
        if size:
            known = np.unpackbits(np.frombuffer(data[4 : 4 + size], dtype=np.uint8), count=rows).astype(bool)
        made = np.full(rows, None, dtype=object)
        made[known] = _unpack_known(name, data[4 + size :], int(known.sum())).tolist()
        return made
    return _unpack_known(name, data, rows)


def _unpack_known(name: str, data: bytes, rows: int) -> NDArray[Any]:
    if not rows:
        return np.empty(0)
    if name in _FLOATS or name in _MAYBE_FLOATS:
        return decode_column(data, rows)
    return decode_integers(data, rows)
