"""Tables: on a terminal they fit, on a pipe they are whole; foreign text is harmless in both."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from cybercorp.cli.output.plain import write_plain, write_plain_record
from cybercorp.cli.output.tables import Layout, fit

LAYOUTS = [
    Layout("NAME", flexible=True),
    Layout("STATE"),
    Layout("CPU", right=True),
    Layout("DISK", right=True, rank=1),
    Layout("LABELS", rank=6, flexible=True),
]


def test_everything_is_shown_where_there_is_room() -> None:
    """No column is dropped or cut in a wide terminal."""
    assert fit(LAYOUTS, [20, 8, 4, 4, 40], 200) == {0: 20, 1: 8, 2: 4, 3: 4, 4: 40}


def test_the_least_important_columns_go_first() -> None:
    """80 columns drop the labels, 30 drop the disk as well; name, state and CPU stay."""
    assert list(fit(LAYOUTS, [40, 8, 4, 4, 40], 40)) == [0, 1, 2, 3]
    assert list(fit(LAYOUTS, [40, 8, 4, 4, 40], 30)) == [0, 1, 2]


def test_flexible_columns_are_cut_before_a_column_is_dropped() -> None:
    """A long name shrinks and takes what is left of the line."""
    widths = fit(LAYOUTS, [100, 8, 4, 4, 100], 60)
    assert list(widths) == [0, 1, 2, 3, 4]
    assert sum(widths.values()) + 2 * 4 <= 60


@given(st.lists(st.integers(1, 300), min_size=5, max_size=5), st.integers(20, 300))
def test_a_line_never_exceeds_the_terminal(natural: list[int], width: int) -> None:
    """The columns that stay, with their gaps, fit, as long as the widest of them can give way."""
    widths = fit(LAYOUTS, natural, width)
    total = sum(widths.values()) + 2 * (len(widths) - 1)
    assert total <= width or min(widths.values()) == 1


def test_a_plain_table_is_aligned_and_whole() -> None:
    """Long cells stay whole, unknown is `-`, the last column is not padded."""
    stream = io.StringIO()
    write_plain(stream, ["NAME", "CPU", "X"], [["web-1", "9.1%", ""], ["w" * 200, "100%", "–"]], [False, True, False])
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["NAME", "CPU", "X"]
    assert lines[1].split() == ["web-1", "9.1%", "-"]
    assert lines[2].split() == ["w" * 200, "100%", "-"]
    assert not any(line.endswith(" ") for line in lines)


def test_one_endless_cell_does_not_pad_the_others() -> None:
    """A megabyte in one row costs that row only, and ends with an ellipsis."""
    stream = io.StringIO()
    write_plain(stream, ["NAME", "CPU"], [["x" * 1_000_000, "1%"], ["b", "2%"]], [False, True])
    lines = stream.getvalue().splitlines()
    assert len(lines[2]) < 100
    assert len(lines[1]) < 2100
    assert "…" in lines[1]


def test_a_plain_table_spells_out_controls() -> None:
    """No escape of a host's name reaches what a person may `cat` later."""
    stream = io.StringIO()
    write_plain(stream, ["NAME"], [["\x1b]0;PWN\x07\n\u202e"]], [False])
    assert stream.getvalue() == "NAME\n\\x1b]0;PWN\\x07\\n\\u202e\n"


def test_one_thing_has_a_line_for_each_value() -> None:
    """`hosts show` on a pipe: name, blanks, value."""
    stream = io.StringIO()
    write_plain_record(stream, [("NAME", "web-1"), ("LONG NAME", "")])
    assert stream.getvalue() == "NAME       web-1\nLONG NAME  -\n"
