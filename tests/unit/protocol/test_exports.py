"""Exports on the wire: frames in any pieces, cut bodies, text that harms nobody."""

from __future__ import annotations

import csv
import io
import itertools
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import MalformedMessageError, NotFoundError, UnreachableError
from cybercorp.protocol.exports import (
    CSV_HEADER,
    ExportBlock,
    ExportEnd,
    ExportFailed,
    ExportHead,
    ExportReader,
    csv_lines,
    iso_time,
    ndjson_lines,
    pack_frame,
)
from cybercorp.protocol.metrics import Series
from cybercorp.protocol.problems import Problem
from cybercorp.security.display import spreadsheet_cell

HEAD = ExportHead(start_ms=0, end_ms=10, hosts=1)


def block(*columns: list[float], host: str = "web-1", names: list[str] | None = None) -> ExportBlock:
    rows = len(columns[0])
    return ExportBlock(
        host=host,
        host_id="h1",
        labels={},
        series=[Series(name=name) for name in names or [f"m{n}" for n in range(len(columns))]],
        times=struct.pack(f"<{rows}q", *range(1000, 1000 + rows)),
        values=b"".join(struct.pack(f"<{rows}d", *one) for one in columns),
        done=1.0,
    )


BLOCK = block([1.0, math.nan], [math.nan, -0.5])
BODY = pack_frame(HEAD) + pack_frame(BLOCK) + pack_frame(ExportEnd(blocks=1))


@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=6))
def test_frames_come_in_any_pieces(cuts: list[int]) -> None:
    """However the body is cut into pieces, the frames are the same."""
    places = [0, *sorted(cuts), len(BODY)]
    reader = ExportReader()
    found = [frame for start, end in itertools.pairwise(places) for frame in reader.feed(BODY[start:end])]
    reader.finish()
    assert found == [HEAD, BLOCK]
    assert BLOCK.times_ms() == [1000, 1001]
    assert BLOCK.values_of(1)[1] == -0.5


@pytest.mark.parametrize("length", range(len(BODY)))
def test_a_body_that_was_cut_is_not_whole(length: int) -> None:
    """Wherever it ends too early, the reader says so."""
    reader = ExportReader()
    list(reader.feed(BODY[:length]))
    with pytest.raises(UnreachableError, match="broke the export off"):
        reader.finish()


def test_what_is_no_export_is_refused() -> None:
    """Garbage, frames without measure, and parts that do not fit are named."""
    broken = ExportBlock(host="h", host_id="h", labels={}, series=[], times=b"123", values=b"", done=0)
    for data in (b"\xff\xff\xff\xff", b"\x03\x00\x00\x00abc", pack_frame(broken)):
        with pytest.raises(MalformedMessageError):
            list(ExportReader().feed(data))


def test_an_error_on_the_way_is_raised_as_it_was() -> None:
    """The class and the code of what the service raised."""
    problem = Problem(type="t", title="t", status=404, code="host_not_found", detail="gone")
    with pytest.raises(NotFoundError, match="gone"):
        list(ExportReader().feed(pack_frame(HEAD) + pack_frame(ExportFailed(problem=problem))))


def test_lines_hold_known_values_only() -> None:
    """NaN is no line of CSV and no value of NDJSON."""
    rows = list(csv.reader(io.StringIO(CSV_HEADER + "".join(csv_lines(BLOCK, spreadsheet_cell)))))
    assert rows[1:] == [
        ["1970-01-01T00:00:01.000Z", "web-1", "m0", "1.0", "1"],
        ["1970-01-01T00:00:01.001Z", "web-1", "m1", "-0.5", "1"],
    ]
    assert [(line.metric, line.times_ms, line.values) for line in ndjson_lines(BLOCK)] == [
        ("m0", [1000], [1.0]),
        ("m1", [1001], [-0.5]),
    ]


@given(host=st.text(max_size=20), name=st.text(min_size=1, max_size=20))
def test_hostile_names_stay_cells(host: str, name: str) -> None:
    """No name breaks out of its cell, starts a formula or carries a control character."""
    text = "".join(csv_lines(block([1.0], host=host, names=[name]), spreadsheet_cell))
    [row] = list(csv.reader(io.StringIO(text)))
    assert len(row) == 5
    assert row[1] == spreadsheet_cell(host)
    assert not row[1].startswith(("=", "+", "-", "@", "|", "%"))
    assert all(character.isprintable() for character in row[1] + row[2])


def test_times_beyond_any_calendar_are_numbers() -> None:
    """A broken clock does not stop an export."""
    assert iso_time(1_800_000_000_123) == "2027-01-15T08:00:00.123Z"
    assert iso_time(10**18) == str(10**18)
