"""security.audit_copy: a second copy is read in whole lines, however it is cut into blocks and wherever it ends."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.security import audit_copy
from cybercorp.security.audit_copy import CopyReader


@given(
    lines=st.lists(st.binary(min_size=1, max_size=12).filter(lambda one: b"\n" not in one), max_size=12),
    tail=st.binary(max_size=6).filter(lambda one: b"\n" not in one),
    skips=st.lists(st.integers(0, 4), max_size=12),
    block=st.integers(1, 20),
)
def test_lines_come_once_and_whole(lines: list[bytes], tail: bytes, skips: list[int], block: int) -> None:
    """Read one by one, or passed over several at a time; the part of a line at the end is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_copy, "_BLOCK", block)
        reader = CopyReader(io.BytesIO(b"".join(line + b"\n" for line in lines) + tail))
        left = list(lines)
        for count in skips:
            some = left[:count]
            assert not reader.skip(b"".join(line + b"\n" for line in [*some, b"another"]))
            if some:
                assert reader.skip(b"".join(line + b"\n" for line in some))
                del left[:count]
            elif left:
                assert reader.line() == left.pop(0)
        while left:
            assert reader.line() == left.pop(0)
        assert reader.line() == b""


def test_a_size_ends_it() -> None:
    """What was written after the size was taken is not read, whole or not."""
    for size, expected in ((6, [b"one"]), (8, [b"one", b"two"]), (0, [])):
        reader = CopyReader(io.BytesIO(b"one\ntwo\nthree\n"), size)
        assert list(iter(reader.line, b"")) == expected


def test_a_line_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one endless line does not fill the memory."""
    monkeypatch.setattr(audit_copy, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(audit_copy, "_BLOCK", 100)
    assert len(CopyReader(io.BytesIO(b"x" * 1_000_000)).line()) <= 2_000
