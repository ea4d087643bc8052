"""Promises of the recording's frames."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from cybercorp.core.errors import CyberCorpError, MalformedMessageError, VersionMismatchError
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.recordings import (
    End,
    EventsBlock,
    Frame,
    FrameReader,
    FrameWriter,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
)

MANIFEST = Manifest(made_by="1", made_at_ms=5, since_ms=1, until_ms=4, lead_ms=1, hosts=1)
CATALOGUE = make_catalogue([Series(name="system.cpu.utilization")])
FRAMES: list[Frame] = [
    MANIFEST,
    RecordedHost(number=1, id="host_1", name="web-1", labels={"env": "prod"}, facts=HostFacts(), joined_at_ms=1),
    RecordedCatalogue(number=1, id=CATALOGUE.id, series=CATALOGUE.series),
    EventsBlock(count=0, size=1, data=b"\x90" * 300),
]


def file_of(frames: Sequence[Frame] = FRAMES) -> bytes:
    """A whole file."""
    writer = FrameWriter()
    parts = [writer.begin(), *(writer.frame(one) for one in frames)]
    return b"".join([*parts, writer.end(rows=0, samples=0, tables=0, events=0)])


def read(data: bytes, piece: int = 1 << 20) -> list[Frame]:
    """All frames, fed so many bytes at a time."""
    reader, found = FrameReader(), []
    for at in range(0, len(data), piece):
        found += list(reader.feed(data[at : at + piece]))
    reader.finish()
    return found


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_frames_come_back_as_they_were_however_the_bytes_arrive(piece: int) -> None:
    """Feeding byte by byte or all at once gives the same frames."""
    found = read(file_of(), piece)
    assert found[:-1] == FRAMES
    assert isinstance(found[-1], End)


def test_every_cut_is_noticed() -> None:
    """A file that ends anywhere before its end is never taken for a whole one."""
    data = file_of()
    for length in range(len(data)):
        with pytest.raises(MalformedMessageError):
            read(data[:length])


def test_every_flipped_bit_is_noticed() -> None:
    """One changed bit anywhere is an error of ours, never a frame that was not written and never another exception."""
    data = file_of()
    draw = random.Random(7)
    for _ in range(1000):
        at = draw.randrange(len(data))
        bad = bytearray(data)
        bad[at] ^= 1 << draw.randrange(8)
        try:
            found = read(bytes(bad))
        except CyberCorpError:
            continue
        assert found == read(data), f"the bit at {at} went unnoticed"


def test_another_format_is_told_from_damage() -> None:
    """A file of a later version says so and what to do."""
    data = bytearray(file_of())
    data[6] = 2
    with pytest.raises(VersionMismatchError, match="format 2") as told:
        read(bytes(data))
    assert "newer" in told.value.hint


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" * 10, b"SQLite format 3\0" * 4, b"CCREC", b"\0" * 100])
def test_what_is_no_recording_is_called_that(data: bytes) -> None:
    """Another kind of file is refused by its first bytes."""
    with pytest.raises(MalformedMessageError) as told:
        read(data)
    assert told.value.error_code in ("not_a_recording", "damaged_recording")
    assert told.value.hint


def test_a_frame_without_bounds_is_refused_before_it_is_awaited() -> None:
    """A length of gigabytes is an error at once: no reader waits for it or makes room for it."""
    data = FrameWriter().begin() + b"\x04\0\0\0\xff\xff\xff\xff\0\0\0\0"
    with pytest.raises(MalformedMessageError, match="frame of"):
        list(FrameReader().feed(data))


def test_the_manifest_comes_first_and_once() -> None:
    """Nothing can be said before the manifest, and no second one changes what was said."""
    for frames in (FRAMES[1:], [MANIFEST, MANIFEST]):
        with pytest.raises(MalformedMessageError, match="out of order"):
            read(file_of(frames))


def test_nothing_may_follow_the_end() -> None:
    """Bytes after the last frame are damage."""
    with pytest.raises(MalformedMessageError, match="follows"):
        read(file_of() + b"\0")
