"""Glyph functions: exact widths, unknown never drawn as zero, peaks never lost."""

from __future__ import annotations

import math

import pytest

from cybercorp.tui.state.charts import Cell, Column, Zone, area, meter, sparkline


def test_sparkline_maps_the_range_to_eight_levels() -> None:
    """Zero is the lowest block, the largest value the full one, in order."""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8], 9) == "▁▂▃▄▅▆▇██"


def test_sparkline_keeps_its_width_and_puts_the_newest_right() -> None:
    """Fewer values than cells leave blanks on the left."""
    assert sparkline([1.0], 4, high=1.0) == "   █"
    assert sparkline([], 4) == "    "
    assert sparkline([1.0], 0) == ""


def test_sparkline_never_loses_a_peak() -> None:
    """With more values than cells each cell shows its largest value."""
    values = [0.0] * 50
    values[27] = 1.0
    drawn = sparkline(values, 10, high=1.0)
    assert len(drawn) == 10
    assert drawn.count("█") == 1


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_sparkline_draws_unknown_as_a_dot(unknown: float | None) -> None:
    """Unknown is neither zero nor blank."""
    assert sparkline([0.0, unknown, 1.0], 3) == "▁·█"
    assert sparkline([0.0, unknown, 1.0], 3, ascii=True) == "_?#"


def test_sparkline_of_a_flat_line_at_zero() -> None:
    """All zeros are drawn at the floor, without a division by zero."""
    assert sparkline([0.0, 0.0], 2) == "▁▁"
    assert sparkline([0.0, 0.0], 2, high=0.0) == "▁▁"


def test_meter_uses_eighths_of_a_cell() -> None:
    """Half of four cells is two; an eighth more is one thin block."""
    assert meter(0.5, 4) == "██  "
    assert meter(0.53, 4) == "██▏ "
    assert meter(1.0, 4) == "████"
    assert meter(0.0, 4) == "    "


def test_meter_never_lies_at_its_ends() -> None:
    """More than nothing is visible, less than everything is not full, and out of range is clamped."""
    assert meter(0.0001, 10).strip() == "▏"
    assert meter(0.9999, 4) == "███▉"
    assert meter(7.0, 3) == "███"
    assert meter(-1.0, 3) == "   "


def test_meter_of_an_unknown_ratio_is_dots() -> None:
    """Unknown does not look like zero."""
    assert meter(None, 3) == "···"
    assert meter(math.nan, 3, ascii=True) == "???"


def test_meter_in_ascii() -> None:
    """Whole cells only, and only ASCII."""
    assert meter(0.5, 4, ascii=True) == "##  "
    assert meter(0.01, 4, ascii=True) == "#   "
    assert meter(0.99, 4, ascii=True) == "### "


def _text(rows: list[list[Cell]]) -> list[str]:
    return ["".join(glyph for glyph, _ in row) for row in rows]


def test_area_fills_from_the_bottom() -> None:
    """A full column fills every row; a half one the lower half."""
    full, half = Column(1, 1, 1), Column(0.5, 0.5, 0.5)
    assert _text(area([full, full], 1, 2)) == ["⣿", "⣿"]
    assert _text(area([half, half], 1, 2)) == [" ", "⣿"]


def test_area_shows_zero_as_a_floor_line_and_unknown_as_a_dot() -> None:
    """A known zero and a hole in the data differ."""
    zero = Column(0, 0, 0)
    assert _text(area([zero, zero, None, None], 2, 1)) == ["⣀·"]
    assert area([None, None], 1, 1)[0][0].zone is Zone.UNKNOWN


def test_area_marks_the_band_between_average_and_largest() -> None:
    """Cells above the average carry the band's zone and sparse dots that end at the largest value."""
    rows = area([Column(0, 0.25, 1.0)] * 2, 1, 4)
    assert [row[0].zone for row in rows] == [Zone.BAND, Zone.BAND, Zone.BAND, Zone.AREA]
    assert rows[3][0].glyph == "⣿"
    assert rows[0][0].glyph not in (" ", "⣿")


def test_area_stands_at_the_right_and_keeps_its_size() -> None:
    """Few columns leave the left blank; many show the newest."""
    one = Column(1, 1, 1)
    assert _text(area([one, one], 3, 1)) == ["  ⣿"]
    many = [Column(0, 0, 0)] * 100 + [one, one]
    assert _text(area(many, 2, 1)) == ["⣀⣿"]
    assert _text(area([], 2, 2)) == ["  ", "  "]


def test_area_in_ascii_uses_ascii_only() -> None:
    """The fallback has one column a cell and only ASCII glyphs."""
    rows = _text(area([Column(0, 0.5, 1.0), None, Column(0, 0, 0)], 3, 2, ascii=True))
    assert all(len(row) == 3 and row.isascii() for row in rows)
    assert rows[1][1] == "?"
