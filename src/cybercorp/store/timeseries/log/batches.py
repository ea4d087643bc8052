"""The format of a log entry: all rows of one commit, in a head and a body. Pure functions.

    head   magic, CRC-32 of what follows it, counts, entry number; then, compressed: a column of numbers for each field,
           the directory of the frames (where each ends, its CRC-32, its row length or 0), the names of the streams
    body   frames of up to FRAME_ROWS rows, each compressed for itself, so that one row costs one frame to read

In a frame of rows of one length byte i of all rows stands together: hosts of one kind have much the same values in the
same places, which makes a fifth of them at 1 µs a row. Other rows follow each other as they are. Process tables have
frames of their own where these are encrypted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cybercorp.store.timeseries.encoding.compression import compress_fastest, decompress
from cybercorp.store.timeseries.rows import Integers

FRAME_ROWS = 128
FRAME_BYTES = 256 * 1024
_FEW_ROWS = 8  # fewer of one length are not worth a frame of their own
_HEADER = struct.Struct("<4sIIIIQ")
_MAGIC = b"CCL2"
_CHECKED_FROM = 8
_COLUMNS = 8


ChangeFrame = Callable[[int, bytes], bytes]  # the number of a frame, its bytes


class DamagedBatchError(Exception):
    """The bytes are not what was written."""


class Batch(NamedTuple):
    """Rows in order of arrival, column by column.

    `catalogues` are the store's numbers of them, 0 for a process table, −1 for a mere sequence number.
    """

    hosts: Sequence[int]
    streams: Sequence[str]
    seqs: Sequence[int]
    timestamps: Sequence[int]
    received: Sequence[int]
    catalogues: Sequence[int]
    bodies: Sequence[bytes]


class BatchHead(NamedTuple):
    """What is in a log entry: columns [rows] in order of arrival, without the bodies.

    Row i is of stream `names[places[i]]` (host and name) and lies in frame `frames[i]`, behind the earlier rows of that
    frame. `directory` [frames, 3]: where the frame ends in the body, its CRC-32, the length of its rows or 0.
    """

    packed_names: bytes
    hosts: Integers
    places: Integers
    seqs: Integers
    timestamps: Integers
    received: Integers
    catalogues: Integers
    lengths: Integers
    frames: Integers
    directory: Integers

    @property
    def names(self) -> list[tuple[int, str]]:
        """Host and name of each stream."""
        return msgspec.msgpack.decode(self.packed_names, type=list[tuple[int, str]])


def pack_batch(number: int, batch: Batch, encrypt: ChangeFrame | None = None) -> tuple[bytes, bytes]:
    """Head and body of log entry `number`; there is at least one row. `encrypt` changes frames of process tables."""
    rows = len(batch.seqs)
    names: dict[tuple[int, str], int] = {}
    places = [names.setdefault(name, len(names)) for name in zip(batch.hosts, batch.streams, strict=True)]
    lengths = np.fromiter(map(len, batch.bodies), dtype=np.int64, count=rows)
    frames = np.empty(rows, dtype=np.int64)
    directory: list[tuple[int, int, int]] = []
    body: list[bytes] = []
    end = 0
    private = np.array(batch.catalogues) == 0 if encrypt else np.zeros(rows, dtype=bool)
    for frame, (chosen, stride, hidden) in enumerate(_frames(lengths, private)):
        frames[chosen] = frame
        data = b"".join(batch.bodies[chosen] if isinstance(chosen, slice) else [batch.bodies[one] for one in chosen])
        if stride:
            data = np.frombuffer(data, dtype=np.uint8).reshape(-1, stride).T.tobytes()
        packed = compress_fastest(data)
        if encrypt and hidden:
            packed = encrypt(frame, packed)
        end += len(packed)
        body.append(packed)
        directory.append((end, zlib.crc32(packed), stride))
    columns = np.empty((_COLUMNS, rows), dtype="<i8")
    numbers = (batch.seqs, batch.timestamps, batch.received, batch.catalogues)
    for place, column in enumerate((batch.hosts, places, *numbers, lengths, frames)):
        columns[place] = column
    told = msgspec.msgpack.encode(list(names))
    payload = compress_fastest(b"".join((columns.tobytes(), np.array(directory, dtype="<i8").tobytes(), told)))
    checked = _HEADER.pack(_MAGIC, 0, rows, len(directory), len(told), number)[_CHECKED_FROM:] + payload
    return b"".join((_MAGIC, struct.pack("<I", zlib.crc32(checked)), checked)), b"".join(body)


def unpack_head(number: int, data: bytes) -> BatchHead:
    """The rows of log entry `number`. Raises DamagedBatchError."""
    if len(data) < _HEADER.size:
        raise DamagedBatchError("it is cut short")
    magic, crc, rows, count, names_bytes, own_number = _HEADER.unpack_from(data)
    if magic != _MAGIC or own_number != number or zlib.crc32(memoryview(data)[_CHECKED_FROM:]) != crc:
        raise DamagedBatchError("it does not match its checksum")
    payload = decompress(memoryview(data)[_HEADER.size :])
    columns = np.frombuffer(payload, dtype="<i8", count=_COLUMNS * rows).reshape(_COLUMNS, rows)
    directory = np.frombuffer(payload, dtype="<i8", count=3 * count, offset=columns.nbytes).reshape(count, 3)
    hosts, places, seqs, timestamps, received, catalogues, lengths, frames = columns
    names = payload[len(payload) - names_bytes :]
    return BatchHead(names, hosts, places, seqs, timestamps, received, catalogues, lengths, frames, directory)


def check_frame(head: BatchHead, frame: int, data: bytes) -> None:
    """Raises DamagedBatchError for what does not match its checksum."""
    if zlib.crc32(data) != int(head.directory[frame, 1]):
        raise DamagedBatchError(f"frame {frame} does not match its checksum")


def unpack_frame(
    head: BatchHead, frame: int, data: bytes, decrypt: ChangeFrame = lambda _, packed: packed
) -> tuple[NDArray[np.intp], list[bytes]]:
    """Which rows the frame holds, and their bodies. `decrypt` raises ValueError. Raises DamagedBatchError."""
    check_frame(head, frame, data)
    stride = int(head.directory[frame, 2])
    try:
        plain = decompress(decrypt(frame, data))
    except ValueError as error:
        raise DamagedBatchError(f"frame {frame}: {error}") from error
    places = np.flatnonzero(head.frames == frame)
    if stride:
        plain = np.frombuffer(plain, dtype=np.uint8).reshape(stride, -1).T.tobytes()
        return places, [plain[at : at + stride] for at in range(0, len(plain), stride)]
    ends = np.cumsum(head.lengths[places]).tolist()
    return places, [plain[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def frame_span(head: BatchHead, frame: int) -> tuple[int, int]:
    """Where the frame begins in the body, and its length."""
    start = int(head.directory[frame - 1, 0]) if frame else 0
    return start, int(head.directory[frame, 0]) - start


def _frames(lengths: Integers, private: NDArray[np.bool_]) -> Iterator[tuple[slice | list[int], int, bool]]:
    """The rows of each frame in order of arrival; their length where it is the same and the frame is turned, else 0;
    whether they are `private`: those are in frames of their own.
    """
    first = int(lengths[0])
    if len(lengths) >= _FEW_ROWS and first and (lengths == first).all() and not private.any():
        step = _rows_of(first)
        for start in range(0, len(lengths), step):
            yield slice(start, start + step), first, False
        return
    for rows in _odd_frames(np.flatnonzero(private).tolist(), lengths):
        yield rows, 0, True
    order = np.argsort(lengths, kind="stable")
    order = order[~private[order]]
    if not len(order):
        return
    ends = [*(np.flatnonzero(np.diff(lengths[order])) + 1).tolist(), len(order)]
    odd: list[int] = []
    start = 0
    for end in ends:
        group, length = order[start:end], int(lengths[order[start]])
        start = end
        if not length or len(group) < _FEW_ROWS:
            odd.extend(group.tolist())
            continue
        step = _rows_of(length)
        for at in range(0, len(group), step):
            yield group[at : at + step].tolist(), length, False
    for rows in _odd_frames(sorted(odd), lengths):
        yield rows, 0, False


def _odd_frames(rows: Sequence[int], lengths: Integers) -> Iterator[list[int]]:
    frame: list[int] = []
    size = 0
    for row in rows:
        if frame and (len(frame) == FRAME_ROWS or size + lengths[row] > FRAME_BYTES):
            yield frame
            frame, size = [], 0
        frame.append(row)
        size += int(lengths[row])
    if frame:
        yield frame


def _rows_of(length: int) -> int:
    return max(1, min(FRAME_ROWS, FRAME_BYTES // length))
