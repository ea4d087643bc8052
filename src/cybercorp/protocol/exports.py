"""Exports on the wire: samples of many hosts, block by block, so that neither side holds more than one block.

A body of media type `application/x-cybercorp-export` is a sequence of frames: four bytes of length (little-endian),
then MessagePack. First an `ExportHead`, then `ExportBlock`s host by host in order of time, at last an `ExportEnd`; what
goes wrong on the way is an `ExportFailed`. A body without one of the last two was cut.
"""

from __future__ import annotations

import datetime as dt
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from cybercorp.core.errors import MalformedMessageError, UnreachableError
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.metrics import MetricKind, Series
from cybercorp.protocol.problems import Problem, error_of

MEDIA_TYPE = "application/x-cybercorp-export"
MAX_FRAME_BYTES = 64 * 1024**2
CSV_HEADER = "time,host,metric,value,unit\n"
Number = TypeVar("Number", int, float)
_LENGTH = struct.Struct("<I")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ExportHead(msgspec.Struct, frozen=True, kw_only=True, tag="head"):
    """What follows: of `hosts` hosts, every sample, or one value for each `step_ms`."""

    start_ms: int
    end_ms: int
    hosts: int
    step_ms: int | None = None
    tier: str = "raw"


class ExportBlock(msgspec.Struct, frozen=True, kw_only=True, tag="block"):
    """Some time of one host: `times` are int64, `values` float64 for each series one after the other; little-endian.

    NaN is no value. `done` is the share of the whole export that has been sent with this block, 0–1.
    """

    host: str
    host_id: str
    labels: dict[str, str]
    series: list[Series]
    times: bytes
    values: bytes
    done: float

    @property
    def rows(self) -> int:
        return len(self.times) // 8

    def times_ms(self) -> list[int]:
        """Unix milliseconds of each row."""
        return _native(array("q", self.times)).tolist()

    def values_of(self, number: int) -> list[float]:
        """The values of a series, one for each row, NaN where there is none."""
        size = len(self.times)
        return _native(array("d", self.values[number * size : (number + 1) * size])).tolist()


class ExportEnd(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Everything was sent: so many blocks."""

    blocks: int


class ExportFailed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Nothing more comes, because of this."""

    problem: Problem


Frame = ExportHead | ExportBlock | ExportEnd | ExportFailed


class ExportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of NDJSON: a series of a block; only known values."""

    host: str
    host_id: str
    metric: str
    attributes: dict[str, str]
    unit: str
    kind: MetricKind
    times_ms: list[int]
    values: list[float]


def pack_frame(frame: Frame) -> bytes:
    """The bytes of a frame."""
    data = msgspec.msgpack.encode(frame)
    return _LENGTH.pack(len(data)) + data


class ExportReader:
    """Puts frames together from the pieces of a body. Raises MalformedMessageError, UnreachableError."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._decoder = msgspec.msgpack.Decoder(Frame)
        self._blocks = 0
        self._ended = False

    def feed(self, data: bytes) -> Iterator[ExportHead | ExportBlock]:
        """The frames that are whole now; raises what an `ExportFailed` tells."""
        self._pending += data
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_FRAME_BYTES:
                raise _malformed(f"a frame of {length:,} bytes")
            if len(self._pending) < _LENGTH.size + length:
                return
            packed = bytes(self._pending[_LENGTH.size : _LENGTH.size + length])
            del self._pending[: _LENGTH.size + length]
            try:
                frame = self._decoder.decode(packed)
            except UNREADABLE as error:
                raise _malformed(str(error)[:200]) from error
            if isinstance(frame, ExportFailed):
                raise error_of(frame.problem)
            if isinstance(frame, ExportEnd):
                self._ended = frame.blocks == self._blocks
                continue
            if isinstance(frame, ExportBlock):
                _check(frame)
                self._blocks += 1
            yield frame

    def finish(self) -> None:
        """Raises UnreachableError where the body was cut."""
        if not self._ended:
            raise UnreachableError(
                "The server broke the export off.", hint="Try again; if it happens again, read its log.", code="cut"
            )


def ndjson_lines(block: ExportBlock) -> Iterator[ExportLine]:
    """A line for each series that has a value in the block."""
    times = block.times_ms()
    for number, one in enumerate(block.series):
        known = [(time, value) for time, value in zip(times, block.values_of(number), strict=True) if value == value]
        if known:
            yield ExportLine(
                host=block.host,
                host_id=block.host_id,
                metric=one.name,
                attributes=one.attributes,
                unit=one.unit,
                kind=one.kind,
                times_ms=[time for time, _ in known],
                values=[value for _, value in known],
            )


def csv_lines(block: ExportBlock, cell: Callable[[str], str]) -> Iterator[str]:
    """Lines of RFC 4180 in the order of CSV_HEADER, for known values. `cell` makes a foreign text harmless."""
    stamps = [iso_time(time) for time in block.times_ms()]
    host = _quoted(cell(block.host))
    for number, one in enumerate(block.series):
        before, after = f",{host},{_quoted(cell(one.key))},", f",{_quoted(cell(one.unit))}\n"
        for stamp, value in zip(stamps, block.values_of(number), strict=True):
            if value == value:
                yield f"{stamp}{before}{value!r}{after}"


def iso_time(time_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; the number itself where no calendar has it."""
    try:
        moment = _EPOCH + dt.timedelta(milliseconds=time_ms)
    except OverflowError:
        return str(time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in '",\r\n') else text


def _native(numbers: array[Number]) -> array[Number]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _check(block: ExportBlock) -> None:
    if len(block.times) % 8 or len(block.values) != len(block.times) * len(block.series):
        raise _malformed("a block whose parts do not fit")


def _malformed(what: str) -> MalformedMessageError:
    return MalformedMessageError(
        f"The export could not be read: {what}.", hint="Install the same CyberCorp version on both sides."
    )
