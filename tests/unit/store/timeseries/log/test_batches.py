"""The format of a log entry, and the first format, which is only read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.security.vault import Vault, is_sealed
from cybercorp.store.timeseries.encryption import Encryption
from cybercorp.store.timeseries.log.batches import (
    FRAME_BYTES,
    FRAME_ROWS,
    Batch,
    BatchHead,
    DamagedBatchError,
    frame_span,
    pack_batch,
    unpack_frame,
    unpack_head,
)
from cybercorp.store.timeseries.log.whole_batches import unpack_whole
from cybercorp.store.timeseries.rows import StoredRow

NUMBERS = st.integers(-(2**62), 2**62)
ROW = st.tuples(
    st.integers(1, 2**40),
    st.text(max_size=5),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.integers(-1, 2**31 - 1),
    st.one_of(st.binary(max_size=40), st.binary(min_size=16, max_size=16)),
)
BATCHES = st.lists(ROW, min_size=1, max_size=60).map(lambda rows: Batch(*zip(*rows, strict=True)))


def bodies_of(head: BatchHead, body: bytes) -> list[bytes]:
    """Every row's, through every frame."""
    found: list[bytes] = [b"lost"] * len(head.seqs)
    for frame in range(len(head.directory)):
        start, length = frame_span(head, frame)
        places, bodies = unpack_frame(head, frame, body[start : start + length])
        for place, one in zip(places.tolist(), bodies, strict=True):
            found[place] = one
    return found


def whole(number: int, batch: Batch) -> bytes:
    """An entry as the first version wrote it."""
    names: dict[tuple[int, str], int] = {}
    places = [names.setdefault(name, len(names)) for name in zip(batch.hosts, batch.streams, strict=True)]
    lengths = [len(body) for body in batch.bodies]
    numbers = np.array([places, *batch[2:6], lengths], dtype="<i8")
    streams = msgspec.msgpack.encode(list(names))
    head = struct.pack("<IIQ", len(lengths), len(streams), number)
    payload = b"".join((head, streams, numbers.tobytes(), *batch.bodies))
    return b"CCL1" + struct.pack("<I", zlib.crc32(payload)) + payload


def whole_of_rows(number: int, rows: Sequence[StoredRow]) -> bytes:
    """An entry as the first version wrote it, of samples with catalogue 1."""
    hosts, streams, seqs, times, received, _, _, bodies = zip(*rows, strict=True)
    return whole(number, Batch(hosts, streams, seqs, times, received, [1] * len(rows), bodies))


@given(BATCHES)
def test_rows_come_back_as_they_went_in(batch: Batch) -> None:
    """Every field of every row, in order, rows of many lengths and of one."""
    packed, body = pack_batch(7, batch)
    head = unpack_head(7, packed)
    assert head.hosts.tolist() == list(batch.hosts)
    assert [head.names[place][1] for place in head.places.tolist()] == list(batch.streams)
    numbers = (head.seqs, head.timestamps, head.received, head.catalogues)
    assert [column.tolist() for column in numbers] == [list(column) for column in batch[2:6]]
    assert bodies_of(head, body) == list(batch.bodies)


@given(BATCHES, st.data())
def test_a_changed_or_cut_entry_is_refused(batch: Batch, data: st.DataObject) -> None:
    """One flipped bit or one missing byte of the head or of a frame is noticed, and another entry's head."""
    packed, body = pack_batch(7, batch)
    place = data.draw(st.integers(0, len(packed) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    broken = bytearray(packed)
    broken[place] ^= bit
    for number, given_bytes in ((7, packed[:place]), (8, packed), (7, bytes(broken))):
        with pytest.raises(DamagedBatchError):
            unpack_head(number, given_bytes)
    head = unpack_head(7, packed)
    frame = data.draw(st.integers(0, len(head.directory) - 1))
    start, length = frame_span(head, frame)
    cut = data.draw(st.integers(0, length - 1))
    damaged = bytearray(body[start : start + length])
    damaged[cut] ^= bit
    for given_bytes in (bytes(damaged), body[start : start + cut]):
        with pytest.raises(DamagedBatchError):
            unpack_frame(head, frame, given_bytes)


def test_frames_are_bounded() -> None:
    """One row costs one frame to read: not too many rows, not too many bytes."""
    for length, count in ((992, 1000), (100_000, 5), (1_000_000, 3)):
        bodies = [bytes([row % 251]) * length for row in range(count)]
        numbers = list(range(1, count + 1))
        batch = Batch(numbers, ["s"] * count, numbers, numbers, numbers, [1] * count, bodies)
        packed, body = pack_batch(1, batch)
        head = unpack_head(1, packed)
        rows = np.bincount(head.frames)
        assert rows.max() <= FRAME_ROWS
        assert rows.max() == 1 or rows.max() * length <= FRAME_BYTES
        assert bodies_of(head, body) == bodies


@given(BATCHES, st.data())
def test_the_first_format_is_read(batch: Batch, data: st.DataObject) -> None:
    """Every field of every row; a flipped bit is noticed."""
    packed = whole(7, batch)
    assert [list(column) for column in unpack_whole(7, packed)] == [list(column) for column in batch]
    broken = bytearray(packed)
    broken[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for number, given_bytes in ((7, bytes(broken)), (8, packed), (7, packed[:-1])):
        with pytest.raises(DamagedBatchError):
            unpack_whole(number, given_bytes)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([16, 16, 16, 40, 41])), min_size=1, max_size=60))
def test_process_tables_have_frames_of_their_own(rows: Sequence[tuple[bool, int]]) -> None:
    """Those and no others are encrypted, each frame for its entry and number; moved to another one it does not open."""
    vault = Vault({1: b"k" * 32}, 1)
    encryption = Encryption()
    encryption.vault = vault
    bodies = [(b"secret" if table else b"sample").ljust(length, b".") for table, length in rows]
    count = list(range(1, len(rows) + 1))
    batch = Batch(count, ["s"] * len(rows), count, count, count, [0 if table else 3 for table, _ in rows], bodies)
    packed, body = pack_batch(7, batch, lambda frame, data: encryption.of_frame(7, frame).encrypt(data))
    head = unpack_head(7, packed)
    found: list[bytes] = [b"lost"] * len(rows)
    for frame in range(len(head.directory)):
        start, length = frame_span(head, frame)
        data = body[start : start + length]
        tables = {bool(one == 0) for one in head.catalogues[head.frames == frame].tolist()}
        assert tables == {is_sealed(data)}
        places, read = unpack_frame(head, frame, data, lambda at, one: encryption.of_frame(7, at).decrypt(one))
        for place, one in zip(places.tolist(), read, strict=True):
            found[place] = one
        if is_sealed(data):
            for entry, at in ((8, frame), (7, frame + 1)):
                cipher = encryption.of_frame(entry, at)
                with pytest.raises(DamagedBatchError, match="belong elsewhere"):
                    unpack_frame(head, frame, data, lambda _, one, cipher=cipher: cipher.decrypt(one))  # type: ignore[misc]
    assert found == bodies
