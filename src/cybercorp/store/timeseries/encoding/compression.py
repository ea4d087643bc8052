"""Zstandard with the contexts kept: making one takes longer than compressing a host's rows, and tears the heap."""

from __future__ import annotations

import threading

import zstandard

_FASTEST = -1
_FAST = 1


class _Contexts(threading.local):
    """A thread's own; they must not be used by two at once."""

    def __init__(self) -> None:
        self.fastest = zstandard.ZstdCompressor(level=_FASTEST)
        self.fast = zstandard.ZstdCompressor(level=_FAST)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress_fastest(data: bytes) -> bytes:
    """For what is written at once and read seldom."""
    return _contexts.fastest.compress(data)


def compress_fast(data: bytes) -> bytes:
    """For what stays in memory: the library's own object keeps the room that it had for incompressible bytes."""
    return memoryview(_contexts.fast.compress(data)).tobytes()


def decompress(data: bytes | memoryview) -> bytes:
    """Raises zstandard.ZstdError."""
    return _contexts.decompressor.decompress(data)
