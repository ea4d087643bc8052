"""The process table's state: stable order, a selection that follows its process, hostile text made safe."""

from __future__ import annotations

import datetime as dt
import itertools
import time

import msgspec
import pytest

from cybercorp.tui.state.lines import line_width, text_of
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_details import process_details
from cybercorp.tui.state.processes_moments import Moments
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.state.processes_rows import ColumnUnits, columns_for, header_line, place_columns, row_line, since
from cybercorp.tui.state.processes_table import sound
from tests.unit.tui.process_tables import many, table_of

NOW = dt.datetime(2026, 11, 23, 14, 0, tzinfo=dt.UTC)


def shown(model: ProcessModel) -> list[int]:
    return [model.table.pid[row] for row in model.rows]


def test_the_busiest_process_stands_first() -> None:
    """The table opens sorted by CPU; equal ones keep the order of their pids, unknown ones come last."""
    model = ProcessModel()
    model.show(table_of((9, 1, "a", 0.1, 1), (3, 1, "b", None, 1), (7, 1, "c", 0.9, 1), (5, 1, "d", 0.1, 1)), live=True)
    assert shown(model) == [7, 5, 9, 3]


def test_the_same_column_again_turns_the_order_round() -> None:
    """Unknown values stay last in either direction."""
    model = ProcessModel()
    model.show(table_of((1, 0, "a", 0.1, 1), (2, 0, "b", None, 1), (3, 0, "c", 0.9, 1)), live=True)
    model.sort_by(ProcessSort.CPU)
    assert shown(model) == [1, 3, 2]
    model.sort_by(ProcessSort.PID)
    assert shown(model) == [1, 2, 3]


@pytest.mark.parametrize("sort", list(ProcessSort))
def test_equal_rows_never_change_places(sort: ProcessSort) -> None:
    """With equal values every order is the order of pids, table after table."""
    model = ProcessModel()
    model.show(table_of(*((pid, 0, "same", 0.0, 0) for pid in (5, 1, 9, 3))), live=True)
    if sort is not model.sort:
        model.sort_by(sort)
    first = shown(model)
    model.show(table_of(*((pid, 0, "same", 0.0, 0) for pid in (9, 3, 5, 1)), at_ms=1_001_000), live=True)
    assert shown(model) == first


def test_the_selection_follows_its_process() -> None:
    """After a new order the same process is selected, wherever it stands."""
    model = ProcessModel()
    model.show(table_of((1, 0, "a", 0.9, 1), (2, 0, "b", 0.5, 1), (3, 0, "c", 0.1, 1)), live=True)
    model.select(2)
    model.show(table_of((1, 0, "a", 0.1, 1), (2, 0, "b", 0.5, 1), (3, 0, "c", 0.9, 1), at_ms=1_001_000), live=True)
    assert model.selected == (3, 500)
    assert model.selected_index == 0


def test_a_reused_pid_is_another_process() -> None:
    """The selection is (pid, start time): when the process ended, its place is taken by the next row."""
    model = ProcessModel()
    model.show(table_of((1, 0, "a", 0.9, 1), (2, 0, "b", 0.5, 1)), live=True)
    model.select(1)
    model.show(table_of((1, 0, "a", 0.9, 1), (2, 0, "b", 0.5, 1), at_ms=1_001_000, started_at_ms=900), live=True)
    assert model.selected == (2, 900)


def test_looking_at_the_past_does_not_lose_the_selection() -> None:
    """A recorded selection of processes without the selected one leaves it selected for when live returns."""
    model = ProcessModel()
    live = table_of((1, 0, "a", 0.9, 1), (2, 0, "b", 0.5, 1), (3, 0, "c", 0.1, 1))
    model.show(live, live=True)
    model.select(2)
    model.show(table_of((1, 0, "a", 0.9, 1), partial=True, at_ms=900_000), live=False)
    assert model.selected == (3, 500)
    model.show(live, live=True)
    assert model.selected_index == 2


def test_a_filter_and_its_error() -> None:
    """A filter that cannot be read keeps the last one and says what is wrong."""
    model = ProcessModel()
    model.show(table_of((1, 0, "java", 0.9, 1), (2, 0, "nginx", 0.5, 1)), live=True)
    assert model.set_filter("nginx")
    assert shown(model) == [2]
    assert not model.set_filter("cpu>many")
    assert "number" in str(model.filter_error)
    assert shown(model) == [2]
    assert model.set_filter("")
    assert str(model.filter_error) == "None"
    assert shown(model) == [1, 2]


def test_the_tree_folds_and_unfolds() -> None:
    """A folded parent hides its children until it is unfolded; leaves cannot be folded."""
    model = ProcessModel()
    model.show(table_of((1, 0, "init", 0.0, 1), (2, 1, "child", 0.5, 1)), live=True)
    model.toggle_tree()
    assert shown(model) == [1, 2]
    assert model.toggle_collapsed(0)
    assert shown(model) == [1]
    assert not model.toggle_collapsed(0, collapse=True)
    assert model.toggle_collapsed(0, collapse=False)
    assert not model.toggle_collapsed(1)
    model.select(1)
    assert model.select_parent()
    assert model.selected == (1, 500)


def test_hostile_names_are_spelled_out() -> None:
    """Escapes, bidi overrides, new lines and a megabyte of text neither reach a line nor lengthen it."""
    hostile = "\x1b]52;c;ZXZpbA==\x07\u202egnp.exe\n[bold]" + "A" * 1_000_000
    model = ProcessModel()
    model.show(table_of((1, 0, hostile, 0.5, 1), command=hostile, user="\x9b31mroot"), live=True)
    columns = columns_for(model, 100, ColumnUnits())
    text = text_of(row_line(model, 0, columns, now=NOW))
    assert text.isprintable()
    assert "\\x1b" in text
    assert line_width(row_line(model, 0, columns, now=NOW)) == 98
    details = process_details(model, 0, 80, cores=2)
    assert all(text_of(line).isprintable() for line in details)
    assert len(details) < 500


def test_wide_characters_keep_the_columns() -> None:
    """Names in double-width scripts are cut by cells, so what follows does not move."""
    model = ProcessModel()
    model.show(table_of((1, 0, "データベース", 0.5, 1), command="データベース" * 30, user="利用者利用者"), live=True)
    for width in (60, 80, 101, 200):
        assert line_width(row_line(model, 0, columns_for(model, width, ColumnUnits()), now=NOW)) == width - 2


@pytest.mark.parametrize("width", [30, 50, 78, 100, 118, 198])
def test_columns_fit_every_width(width: int) -> None:
    """Columns never overlap or pass the edge, and the command keeps room."""
    placed = place_columns(width)
    assert all(left.x + left.width + 1 == right.x for left, right in itertools.pairwise(placed))
    assert placed[-1].x + placed[-1].width == width
    assert next(one.width for one in placed if one.spec.name == "command") >= 10


def test_columns_are_dropped_by_importance() -> None:
    """What matters least goes first; pid, command and CPU stay at any width."""
    names = {width: {one.spec.name for one in place_columns(width)} for width in (44, 78, 198)}
    assert {"pid", "command", "cpu"} <= names[44] < names[78] < names[198]
    assert {"user", "rss", "spark"} <= names[78]
    assert {"threads", "read", "write", "started", "state"} <= names[198]


def test_units_grow_at_once_and_shrink_late() -> None:
    """A burst changes the unit of the rate column immediately; it changes back only after a minute."""
    units = ColumnUnits()
    assert units.scale("rate", 10.0, 0, per_second=True).unit == "KiB/s"
    assert units.scale("rate", 5e6, 1000, per_second=True).unit == "MiB/s"
    assert units.scale("rate", 10.0, 2000, per_second=True).unit == "MiB/s"
    assert units.scale("rate", 10.0, 62_000, per_second=True).unit == "KiB/s"


def test_header_marks_the_sorted_column() -> None:
    """The arrow stands at the column that sorts and the heads align with the rows."""
    model = ProcessModel()
    model.show(table_of((1, 0, "a", 0.5, 1)), live=True)
    columns = columns_for(model, 118, ColumnUnits())
    header = text_of(header_line(model, columns))
    assert "CPU%▼" in header
    assert len(header) == 118


def test_activity_shows_only_the_time_that_was_watched() -> None:
    """Steps nobody watched are unknown, idle ones zero, busy ones their largest value."""
    model = ProcessModel()
    for second in range(30):
        model.show(
            table_of((1, 0, "a", 0.5 if second == 10 else 0.0, 1), at_ms=1_000_000 + second * 1000, started_at_ms=1),
            live=True,
        )
    values = model.activity(0, 6)
    assert values[:3] == [None, None, None]
    assert 0.5 in values
    assert values[-1] == 0.0


def test_activity_belongs_to_the_process_not_the_pid() -> None:
    """A new process with an old pid starts without its predecessor's history."""
    model = ProcessModel()
    model.show(table_of((1, 0, "a", 0.9, 1), at_ms=1_000_000, started_at_ms=1), live=True)
    model.show(table_of((1, 0, "b", 0.0, 1), at_ms=1_010_000, started_at_ms=1_005_000), live=True)
    assert max(value or 0.0 for value in model.activity(0, 6)) == 0.0


def test_since_is_short() -> None:
    """Today's time, this year's day, else the year; impossible times are unknown."""
    stamp = round(NOW.timestamp() * 1000)
    assert since(stamp - 3_600_000, NOW) == "13:00"
    assert since(stamp - 10 * 86_400_000, NOW) == "Nov 13"
    assert since(stamp - 700 * 86_400_000, NOW) == "2024"
    assert since(0, NOW) == "–"
    assert since(2**62, NOW) == "–"


def test_moments_remember_who_was_busy() -> None:
    """The nearest watched second answers with its top processes, an unwatched one not at all."""
    moments = Moments()
    for second in range(10):
        moments.add(many(300, at_ms=1_000_000 + second * 1000, seed=second))
    found = moments.at(1_004_300)
    assert found is not None
    assert found.timestamp_ms == 1_004_000
    assert found.partial
    assert found.total == 300
    assert len(found.pid) <= 20
    assert moments.at(900_000) is None


def test_moments_are_bounded_and_survive_a_clock_step() -> None:
    """Five minutes are kept; a clock that steps back drops what it calls the future."""
    moments = Moments()
    for second in range(400):
        moments.add(table_of((1, 0, "a", 0.5, 1), at_ms=1_000_000 + second * 1000))
    assert moments.at(1_010_000) is None
    assert moments.at(1_399_000) is not None
    moments.add(table_of((2, 0, "b", 0.5, 1), at_ms=1_200_000))
    assert moments.at(1_399_000) is None


def test_five_thousand_processes_stay_quick() -> None:
    """A new table of 5,000 processes is taken over and its screen formatted in well under a tenth of a second."""
    model = ProcessModel()
    units = ColumnUnits()
    tables = [many(5000, at_ms=1_000_000 + second * 1000, seed=second) for second in range(6)]
    model.show(tables[0], live=True)
    best = 1.0
    for table in tables[1:]:
        began = time.perf_counter()
        model.show(table, live=True)
        columns = columns_for(model, 118, units)
        for index in range(40):
            row_line(model, index, columns, now=NOW)
        best = min(best, time.perf_counter() - began)
    assert best < 0.1


def test_a_broken_table_is_refused_and_a_strange_one_mended() -> None:
    """Columns of different lengths are no table; NaN, infinite and negative numbers are unknown."""
    good = table_of((1, 0, "a", 0.5, 1))
    assert sound(good) is good
    assert sound(msgspec.structs.replace(good, cpu=[])) is None
    strange = sound(msgspec.structs.replace(good, cpu=[float("nan")], read_rate=[-1.0], write_rate=[float("inf")]))
    assert strange is not None
    assert (strange.cpu, strange.read_rate, strange.write_rate) == ([None], [None], [None])
