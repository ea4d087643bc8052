"""Chunks as version 1 of the format had them ("CCK1"): they are read for ever and written no more. Pure functions."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from pcodec import standalone

from cybercorp.store.timeseries.rows import Floats, Integers

MAGIC = b"CCK1"

_HEADER = struct.Struct("<4sBxxxqqIII")
_CRC_AT = _HEADER.size - 4
_CONSTANT, _PCO = b"\x00", b"\x02"


class FirstHeader(NamedTuple):
    """Kind, whose it is, its rows, where its slices begin, and where each ends and its checksum: [slices, 2]."""

    kind: int
    host: int
    catalogue: int
    rows: int
    start: int
    directory: np.ndarray


def read_header(prefix: bytes, slices: int) -> FirstHeader:
    """`prefix` is the beginning of a chunk. Raises ValueError."""
    start = _HEADER.size + 8 * slices
    if len(prefix) < start:
        raise ValueError("it is cut short")
    _, kind, host, catalogue, rows, count, crc = _HEADER.unpack_from(prefix)
    if count != slices or crc != zlib.crc32(prefix[_HEADER.size : start], zlib.crc32(prefix[:_CRC_AT])):
        raise ValueError("its header does not match its checksum")
    directory = np.frombuffer(prefix, dtype="<u4", offset=_HEADER.size, count=2 * slices).reshape(slices, 2)
    return FirstHeader(kind, host, catalogue, rows, start, directory)


def read_integers(data: bytes, rows: int) -> Integers:
    """A slice of int64 [rows]."""
    return _decode(data, rows, np.dtype("<i8"))


def read_floats(data: bytes, rows: int) -> Floats:
    """A slice of float64 [rows]."""
    return _decode(data, rows, np.dtype("<f8"))


def _decode(data: bytes, rows: int, dtype: np.dtype[np.generic]) -> np.ndarray:
    if data[:1] == _PCO:
        decoded: np.ndarray = standalone.simple_decompress(data[1:])
        return decoded
    if data[:1] == _CONSTANT:
        return np.repeat(np.frombuffer(data, dtype=dtype, offset=1), rows)
    return np.frombuffer(data, dtype=dtype, offset=1)
