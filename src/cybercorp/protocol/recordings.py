"""A recording: part of a fleet's history in one file, and the frames that the file is made of. No I/O here.

    file    the magic, then frames, the last one `End`
    frame   kind (u8), three zero bytes, length (u32), CRC-32 of kind, length and payload (u32), payload; little-endian

Payloads are MessagePack. The first frame is the `Manifest`; a host and a catalogue are told before what refers to them.
What is large is compressed (Zstandard) and says its size before, so that a reader never unpacks more than it expects.
A file comes from anywhere: whoever reads one trusts neither sizes nor texts.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec

from cybercorp.core.errors import MalformedMessageError, VersionMismatchError
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series

FORMAT = 1
SUFFIX = ".ccrec"
MEDIA_TYPE = "application/x-cybercorp-recording"
MAX_FRAME_BYTES = 8 * 1024**2
MAX_BLOCK_BYTES = 16 * 1024**2  # one block, unpacked
MAX_HOSTS = 1_000
MAX_CATALOGUES = 20_000
MAX_ROWS = 20_000_000

_MAGIC = struct.Struct("<6sH")
_NAME = b"CCREC\n"
_FRAME = struct.Struct("<B3xII")
_SUMMED = struct.Struct("<BI")


class FrameKind(IntEnum):
    MANIFEST = 1
    HOST = 2
    CATALOGUE = 3
    SAMPLES = 4
    PROCESSES = 5
    EVENTS = 6
    END = 255


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `lead_ms` of history before `since_ms` come along, for the charts of the first instants.

    `rows` is about how many rows of samples follow: good enough for a progress bar.
    """

    made_by: str
    made_at_ms: int
    since_ms: int
    until_ms: int
    lead_ms: int
    hosts: int
    rows: int = 0


class RecordedHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it was known when the recording was made; `number` names it in this file."""

    number: int
    id: str
    name: str
    labels: dict[str, str]
    facts: HostFacts
    joined_at_ms: int
    seen_at_ms: int | None = None
    interval_ms: int = 1000


class RecordedCatalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The series of some rows; `id` is that of `make_catalogue`."""

    number: int
    id: str
    series: tuple[Series, ...]


class SamplesBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one host in order of arrival. `data` unpacks to `size` bytes: see the server's `recorded_blocks`."""

    host: int
    catalogue: int
    rows: int
    size: int
    data: bytes


class TablesBlock(msgspec.Struct, frozen=True, kw_only=True):
    """`count` process tables of one host, oldest first: `data` unpacks to a MessagePack list of `ProcessTable`."""

    host: int
    count: int
    size: int
    data: bytes


class EventsBlock(msgspec.Struct, frozen=True, kw_only=True):
    """`count` events, oldest first: `data` unpacks to a MessagePack list of `Event`."""

    count: int
    size: int
    data: bytes


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The last frame: what the file holds, and the SHA-256 of everything before it (hexadecimal)."""

    rows: int
    samples: int
    tables: int
    events: int
    sha256: str


Frame = Manifest | RecordedHost | RecordedCatalogue | SamplesBlock | TablesBlock | EventsBlock | End

_TYPES: dict[int, type[Any]] = {
    FrameKind.MANIFEST: Manifest,
    FrameKind.HOST: RecordedHost,
    FrameKind.CATALOGUE: RecordedCatalogue,
    FrameKind.SAMPLES: SamplesBlock,
    FrameKind.PROCESSES: TablesBlock,
    FrameKind.EVENTS: EventsBlock,
    FrameKind.END: End,
}
_KINDS = {made: kind for kind, made in _TYPES.items()}


class FrameWriter:
    """Turns frames into the bytes of a file, and knows the sum of all it has made."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self.size_bytes = 0

    def begin(self) -> bytes:
        """The first bytes of a file."""
        return self._made(_MAGIC.pack(_NAME, FORMAT))

    def frame(self, frame: Frame) -> bytes:
        """One frame."""
        payload = msgspec.msgpack.encode(frame)
        kind = _KINDS[type(frame)]
        return self._made(_FRAME.pack(kind, len(payload), _check(kind, payload)) + payload)

    def end(self, *, rows: int, samples: int, tables: int, events: int) -> bytes:
        """The last frame."""
        return self.frame(End(rows=rows, samples=samples, tables=tables, events=events, sha256=self._sum.hexdigest()))

    def _made(self, data: bytes) -> bytes:
        self._sum.update(data)
        self.size_bytes += len(data)
        return data


class FrameReader:
    """Takes a file's bytes as they come, and gives its frames. `ended` is True after a whole and sound file.

    Raises MalformedMessageError (`damaged_recording`, `not_a_recording`) and VersionMismatchError.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._sum = hashlib.sha256()
        self._begun = False
        self._first = True
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes. Use the iterator up before the next call."""
        self._buffer += data
        if not self._begun:
            if len(self._buffer) < _MAGIC.size and _NAME.startswith(self._buffer[: len(_NAME)]):
                return
            self._begin()
        while (frame := self._next()) is not None:
            yield frame

    def finish(self) -> None:
        """There is no more: raises where the file is cut short."""
        if not self._begun:
            raise not_a_recording()
        if not self.ended:
            raise damaged("it is cut short")

    def _begin(self) -> None:
        name, version = _MAGIC.unpack_from(self._buffer.ljust(_MAGIC.size, b"\0"))
        if name != _NAME:
            raise not_a_recording()
        if version != FORMAT:
            raise VersionMismatchError(
                f"This recording has format {version}; this CyberCorp reads format {FORMAT}.",
                hint="Install the version that made it, or a newer one." if version > FORMAT else "Export it anew.",
            )
        self._take(_MAGIC.size)
        self._begun = True

    def _next(self) -> Frame | None:
        if self.ended:
            if self._buffer:
                raise damaged("something follows its end")
            return None
        if len(self._buffer) < _FRAME.size:
            return None
        kind, length, check = _FRAME.unpack_from(self._buffer)
        if length > MAX_FRAME_BYTES:
            raise damaged(f"it has a frame of {length:,} bytes")
        if len(self._buffer) < _FRAME.size + length:
            return None
        payload = bytes(memoryview(self._buffer)[_FRAME.size : _FRAME.size + length])
        made = _TYPES.get(kind)
        if made is None or check != _check(kind, payload):
            raise damaged("a frame does not match its checksum")
        try:
            frame: Frame = msgspec.msgpack.decode(payload, type=made)
        except UNREADABLE as error:
            raise damaged(f"a frame cannot be read ({str(error)[:100]})") from error
        if self._first is not isinstance(frame, Manifest):
            raise damaged("its frames are out of order")
        self._first = False
        if isinstance(frame, End):
            if frame.sha256 != self._sum.hexdigest():
                raise damaged("it does not match its checksum")
            self.ended = True
        self._take(_FRAME.size + length)
        return frame

    def _take(self, size: int) -> None:
        self._sum.update(memoryview(self._buffer)[:size])
        del self._buffer[:size]


def damaged(why: str) -> MalformedMessageError:
    """The error of a recording that cannot be used."""
    return MalformedMessageError(
        f"The recording is damaged: {why}.", hint="Export it again, or copy it again.", code="damaged_recording"
    )


def not_a_recording() -> MalformedMessageError:
    return MalformedMessageError(
        "This file is no CyberCorp recording.",
        hint="Make one with: cybercorp export incident --host HOST --from TIME --to TIME",
        code="not_a_recording",
    )


def _check(kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_SUMMED.pack(kind, len(payload))))
