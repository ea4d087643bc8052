"""The format of a chunk: rows of one host and one catalogue in order of arrival. Pure functions.

    header     magic, kind, form, bytes of an entry, host, catalogue, rows, what the index says of its columns, number
               of slices, bytes of the table, CRC-32 of header, directory and table
    directory  for each slice: its length, its CRC-32 (seeded with its number, so that a swapped one is noticed)
    table      what the form needs beside the slices
    slices     of samples sealed lately: one (`short_blocks`); of merged ones: the timestamps, then one for each series
               that changes (`long_blocks`); of process tables: timestamps, lengths, packed bodies (`process_tables`),
               which may be encrypted

A reader of one series of a merged chunk reads header, directory and two or three slices. Every slice is checked before
it is decoded. Values come back bit by bit as they were, NaN payloads and −0.0 included. Chunks of the first version are
read too (`first_format`).
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from cybercorp.protocol.processes import ProcessChanges
from cybercorp.store.timeseries.encoding import first_format
from cybercorp.store.timeseries.encoding.integer_columns import decode_integers, encode_integers
from cybercorp.store.timeseries.encoding.long_blocks import ColumnsReader, encode_columns
from cybercorp.store.timeseries.encoding.process_tables import MAGIC, TablesReader, changes_of, encode_tables
from cybercorp.store.timeseries.encoding.short_blocks import BlockReader, encode_block
from cybercorp.store.timeseries.rows import Floats, Integers

SAMPLES, PROCESSES = 1, 2
PREFIX_BYTES = 44
TABLES_SLICE = 2
"""The slice of a chunk of process tables that holds them."""

_MAGIC = b"CCK2"
_HEADER = struct.Struct("<4sBBBxqqIIIII")
_CRC_AT = PREFIX_BYTES - 4
_FIRST, _SLICES, _SHORT, _LONG = range(4)
_SHORT_ROWS = 256
_MANY_TABLES = 32
_ENTRY = np.dtype([("length", "<u2"), ("crc", "<u4")])
_WIDE_ENTRY = np.dtype([("length", "<u4"), ("crc", "<u4")])
_MAX_DIRECTORY = 1 << 26

Read = Callable[[int, int], bytes]
Change = Callable[[bytes], bytes]
Owner = tuple[int, int]  # host and catalogue


class DamagedChunkError(Exception):
    """The bytes are not what was written; nothing of the slice may be used."""


def encode_samples(owner: Owner, timestamps: Integers, values: Floats, *, lasting: bool | None = None) -> bytes:
    """A chunk of `values` [rows, series] at `timestamps` [rows].

    A `lasting` chunk is made small; another one, which is merged soon, is made fast. The number of rows decides where
    the caller does not.
    """
    rows, series = values.shape
    if lasting or (lasting is None and rows > _SHORT_ROWS):
        table, columns = encode_columns(values)
        return _pack(SAMPLES, _LONG, owner, rows, series + 1, [encode_integers(timestamps), *columns], table)
    return _pack(SAMPLES, _SHORT, owner, rows, series + 1, [encode_block(timestamps, values)])


def encode_processes(
    owner: Owner, timestamps: Integers, bodies: Sequence[bytes], encrypt: Change = lambda packed: packed
) -> bytes:
    """A chunk of process tables (MessagePack): a few compressed together, many taken apart into columns.

    `encrypt` changes the packed bodies; whoever reads them undoes it.
    """
    if len(bodies) >= _MANY_TABLES:
        lengths, packed = b"", encode_tables(bodies)
    else:
        lengths = encode_integers(np.array([len(body) for body in bodies], dtype=np.int64))
        packed = zlib.compress(b"".join(bodies), 6)
    return pack_chunk(PROCESSES, owner, len(timestamps), [encode_integers(timestamps), lengths, encrypt(packed)])


def pack_chunk(kind: int, owner: Owner, rows: int, slices: Sequence[bytes]) -> bytes:
    """A chunk of any kind whose slices are the caller's; `ChunkReader.slice_bytes` gives them back."""
    return _pack(kind, _SLICES, owner, rows, len(slices), slices)


def read_from(data: bytes) -> Read:
    """Slices of bytes that were read before."""
    return lambda offset, length: data[offset : offset + length]


class ChunkReader:
    """Reads slices of one chunk through `read(offset, length)`. Every method raises DamagedChunkError."""

    def __init__(self, read: Read, owner: Owner, slices: int, decrypt: Change = lambda packed: packed) -> None:
        """What the index says: whose it is, and 1 + the series of the catalogue, or 3 for process tables.

        `decrypt` undoes what `encode_processes` was given; it raises ValueError for what it cannot open.
        """
        self._read = read
        self._owner = owner
        self._decrypt = decrypt
        self._columns = slices
        prefix = read(0, PREFIX_BYTES + _WIDE_ENTRY.itemsize * slices)
        try:
            found = self._open_first(prefix) if prefix[:4] == first_format.MAGIC else self._open(prefix)
        except (ValueError, struct.error) as error:
            raise DamagedChunkError(str(error)) from error
        if found != owner:
            raise DamagedChunkError(f"it belongs to host {found[0]} and catalogue {found[1]}")

    @property
    def slices_bytes(self) -> int:
        """What the slices take; the rest is header, directory and table."""
        return sum(self._lengths)

    def timestamps(self) -> Integers:
        with _noticed():
            return self._block.timestamps() if self._form == _SHORT else self._integers(0)

    def column(self, number: int) -> Floats:
        """The values [rows] of series `number` of the catalogue."""
        with _noticed():
            if self._form == _SHORT:
                return self._block.column(number)
            if self._form == _LONG:
                return self._long.column(number)
            return first_format.read_floats(self.slice_bytes(number + 1), self.rows)

    def matrix(self, out: Floats, columns: Sequence[int]) -> None:
        """Decode `columns` into `out` [rows, len(columns)]."""
        if self._form == _SHORT:
            with _noticed():
                self._block.matrix(out, columns)
            return
        for position, number in enumerate(columns):
            out[:, position] = self.column(number)

    def bodies(self) -> list[bytes]:
        """The process tables, as they came."""
        with _noticed():
            return self._tables.bodies() if self._tables is not None else self._joined_bodies()

    def body(self, number: int) -> bytes:
        """One process table, as it came."""
        with _noticed():
            return self._tables.body(number) if self._tables is not None else self._joined_bodies()[number]

    def changes(self) -> list[tuple[int, ProcessChanges]]:
        """The number of each process table that tells of starts and exits, and what it tells."""
        with _noticed():
            if self._tables is not None:
                return list(self._tables.changes())
            return list(changes_of(self._joined_bodies()))

    def encrypted(self, encrypt: Change) -> bytes:
        """The same process tables as another chunk, encrypted by `encrypt`."""
        with _noticed():
            if self._form == _FIRST:
                return encode_processes(self._owner, self.timestamps(), self.bodies(), encrypt)
            slices = [self.slice_bytes(0), self.slice_bytes(1), encrypt(self._packed_tables)]
        return pack_chunk(PROCESSES, self._owner, self.rows, slices)

    def tables_head(self, length: int) -> bytes:
        """The first bytes of the packed process tables, as they are stored and not verified."""
        return self._read(self._starts[TABLES_SLICE], min(length, self._lengths[TABLES_SLICE]))

    def check(self) -> None:
        """Verify every slice."""
        for number in range(len(self._lengths)):
            self.slice_bytes(number)

    def slice_bytes(self, number: int) -> bytes:
        """The bytes of a slice, which match their checksum."""
        length = self._lengths[number]
        data = self._read(self._starts[number], length)
        if len(data) != length or zlib.crc32(data, number) != self._checksums[number]:
            raise DamagedChunkError(f"slice {number} does not match its checksum")
        return data

    @cached_property
    def _block(self) -> BlockReader:
        return BlockReader(self.slice_bytes(0), self.rows, self._columns - 1)

    @cached_property
    def _long(self) -> ColumnsReader:
        return ColumnsReader(self._table, self.rows, self._columns - 1, lambda place: self.slice_bytes(place + 1))

    @cached_property
    def _packed_tables(self) -> bytes:
        return self._decrypt(self.slice_bytes(TABLES_SLICE))

    @cached_property
    def _tables(self) -> TablesReader | None:
        """The process tables, where they were taken apart."""
        return TablesReader(self._packed_tables) if self._packed_tables.startswith(MAGIC) else None

    def _joined_bodies(self) -> list[bytes]:
        ends = np.cumsum(self._integers(1)).tolist()
        data = zlib.decompress(self._packed_tables)
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _integers(self, number: int) -> Integers:
        data = self.slice_bytes(number)
        decode = first_format.read_integers if self._form == _FIRST else decode_integers
        return decode(data, self.rows)

    def _open(self, prefix: bytes) -> Owner:
        magic, self.kind, self._form, wide, host, catalogue, self.rows, columns, slices, extra, crc = (
            _HEADER.unpack_from(prefix)
        )
        entry = _WIDE_ENTRY if wide else _ENTRY
        start = PREFIX_BYTES + slices * entry.itemsize + extra
        if magic != _MAGIC or columns != self._columns or start > _MAX_DIRECTORY:
            raise ValueError("its header is not what the index says")
        if len(prefix) < start:
            prefix += self._read(len(prefix), start - len(prefix))
        if len(prefix) < start or zlib.crc32(prefix[PREFIX_BYTES:start], zlib.crc32(prefix[:_CRC_AT])) != crc:
            raise ValueError("its header does not match its checksum")
        directory = np.frombuffer(prefix, dtype=entry, count=slices, offset=PREFIX_BYTES)
        self._lengths = directory["length"].tolist()
        self._checksums = directory["crc"].tolist()
        self._starts = list(itertools.accumulate(self._lengths, initial=start))
        self._table = prefix[start - extra : start]
        return host, catalogue

    def _open_first(self, prefix: bytes) -> Owner:
        header = first_format.read_header(prefix, self._columns)
        self.kind, self.rows, self._form = header.kind, header.rows, _FIRST
        ends = [0, *header.directory[:, 0].tolist()]
        self._lengths = [end - start for start, end in itertools.pairwise(ends)]
        self._checksums = header.directory[:, 1].tolist()
        self._starts = [header.start + end for end in ends]
        return header.host, header.catalogue


@contextlib.contextmanager
def _noticed() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise DamagedChunkError(str(error)) from error


def _pack(
    kind: int, form: int, owner: Owner, rows: int, columns: int, slices: Sequence[bytes], table: bytes = b""
) -> bytes:
    wide = any(len(one) >= 1 << 16 for one in slices)
    directory = np.empty(len(slices), dtype=_WIDE_ENTRY if wide else _ENTRY)
    directory["length"] = [len(one) for one in slices]
    directory["crc"] = [zlib.crc32(one, number) for number, one in enumerate(slices)]
    described = directory.tobytes() + table
    head = _HEADER.pack(_MAGIC, kind, form, wide, *owner, rows, columns, len(slices), len(table), 0)[:_CRC_AT]
    crc = zlib.crc32(described, zlib.crc32(head))
    return b"".join((head, crc.to_bytes(4, "little"), described, *slices))
