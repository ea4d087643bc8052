"""Frames are cut where the library cuts them, whatever they are and however they arrive."""

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask

from cybercorp.server.websocket.frames import FrameSplitter

MAX_BYTES = 70_000
Part = tuple[str, bytes]


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, masked."""
    return bytes(Frame(Opcode(opcode), payload, fin).serialize(mask=True))


def unmasked(data: bytes) -> bytes:
    """The payload of a frame that `frame` made."""
    head = {126: 4, 127: 10}.get(data[1] & 127, 2)
    return apply_mask(data[head + 4 :], data[head : head + 4])


class Taker:
    """Takes messages the short way again as soon as no fragment is open, as the agents' handler does."""

    def __init__(self) -> None:
        self.seen: list[Part] = []
        self.splitter = FrameSplitter(lambda data: self.seen.append(("frame", data)), max_bytes=MAX_BYTES)
        self.take()

    def take(self) -> None:
        self.splitter.on_message = lambda data: self.seen.append(("message", data))


payloads = st.one_of(st.binary(max_size=130), st.sampled_from([125, 126, 127, 65_535, 65_536]).map(os.urandom))
data_frames = st.tuples(st.sampled_from([0, 1, 2, 2, 2]), payloads, st.booleans())
control_frames = st.tuples(st.sampled_from([8, 9, 10]), st.binary(max_size=125), st.just(True))
frames = st.lists(st.one_of(data_frames, control_frames), max_size=8)


@given(frames, st.data())
def test_any_split_gives_the_same(sent: list[tuple[int, bytes, bool]], draw: st.DataObject) -> None:
    """However the bytes are cut on their way, every frame comes out once, in order, whole, and in the right form."""
    encoded = [frame(opcode, payload, fin=fin) for opcode, payload, fin in sent]
    stream = b"".join(encoded)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    taker = Taker()
    for start, end in pairwise([0, *cuts, len(stream)]):
        taker.splitter.feed(stream[start:end])
    expected: list[Part] = []
    short = True
    for (opcode, payload, fin), data in zip(sent, encoded, strict=True):
        whole = opcode == 2 and fin and short
        expected.append(("message", payload) if whole else ("frame", data))
        short = short and (whole or opcode >= 8)
    assert taker.seen == expected


def test_byte_by_byte() -> None:
    """The slowest sender is understood, and costs no more than its bytes."""
    taker = Taker()
    for byte in frame(2, b"x" * 70_000):
        taker.splitter.feed(bytes([byte]))
    assert taker.seen == [("message", b"x" * 70_000)]


def test_nothing_overtakes_a_fragment() -> None:
    """What comes after a message in fragments goes the long way too, until the short way is taken again."""
    taker = Taker()
    parts = [frame(2, b"a", fin=False), frame(9, b""), frame(0, b"b"), frame(2, b"c")]
    taker.splitter.feed(b"".join(parts))
    assert [kind for kind, _ in taker.seen] == ["frame"] * 4
    taker.take()
    taker.splitter.feed(frame(2, b"d"))
    assert taker.seen[-1] == ("message", b"d")


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x82\x01a",  # not masked (RFC 6455, section 5.1)
        b"\x82\xff" + (MAX_BYTES + 1).to_bytes(8, "big") + b"mask",
        b"\x82\xff" + b"\xff" * 8 + b"mask",
    ],
)
def test_what_is_wrong_goes_to_the_library(wrong: bytes) -> None:
    """An unmasked or oversize frame, and all that follows it, is the library's to refuse; nothing of it is taken."""
    taker = Taker()
    taker.splitter.feed(frame(2, b"good") + wrong)
    taker.splitter.feed(frame(2, b"after"))
    (first, second, third) = taker.seen
    assert first == ("message", b"good")
    assert second == ("frame", wrong)
    assert third[0] == "frame"
    assert unmasked(third[1]) == b"after"


@given(st.integers(0, 20), st.lists(st.integers(0, 200), max_size=8))
def test_a_flood_is_told_of_once(allowed: int, cuts: list[int]) -> None:
    """So many frames are taken as may be; then the flood is told of, once, and nothing more is taken."""
    left, floods = iter(range(allowed)), []
    seen: list[bytes] = []
    splitter = FrameSplitter(
        seen.append,
        max_bytes=MAX_BYTES,
        may=lambda: next(left, None) is not None,
        on_flood=lambda: floods.append(len(seen)),
    )
    stream = frame(9, b"x") * 30
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        splitter.feed(stream[start:end])
    assert len(seen) == allowed
    assert floods == [allowed]
