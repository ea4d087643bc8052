"""Plots as text: every line fits, axes are round, curves are where they belong, gaps stay gaps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cybercorp.cli.output.axes import time_ticks, value_scale
from cybercorp.cli.output.canvas import Canvas
from cybercorp.cli.output.plots import Curve, Line, draw_plot, tick_label

START = 1_800_000_000_000
VALUES = st.lists(st.none() | st.floats(-1e15, 1e15), min_size=1, max_size=50)


def text_of(lines: list[Line]) -> list[str]:
    return ["".join(run.text for run in line) for line in lines]


def draw(*curves: Curve, unit: str = "1", width: int = 80, height: int = 20, braille: bool = True) -> list[str]:
    return text_of(
        draw_plot(curves, start_ms=START, step_ms=5000, unit=unit, width=width, height=height, braille=braille)
    )


@given(VALUES, st.sampled_from(["1", "By", "By/s", "s", "Cel", "{thread}"]), st.integers(40, 200), st.integers(8, 60))
def test_no_line_is_wider_than_the_terminal(values: list[float | None], unit: str, width: int, height: int) -> None:
    """Whatever the values are, the plot fits and all of it is printable."""
    for line in draw(Curve("web-1", values), Curve("\x1b[31m" * 50, values), unit=unit, width=width, height=height):
        assert cell_len(line) <= width
        assert line.isprintable()


def test_a_full_ratio_touches_the_top_and_zero_the_bottom() -> None:
    """100 % is drawn in the first line and 0 % in the last."""
    lines = draw(Curve("a", [0.0] * 10 + [1.0] * 10), height=14)
    plot = [line for line in lines if "│" in line or "┤" in line]
    assert plot[0].startswith("100% ┤")
    assert plot[0].rstrip().endswith(("⠉", "⠒", "⠋", "⠙")) or "⠉" in plot[0]
    assert "⣀" in plot[-1]


def test_a_gap_is_not_bridged() -> None:
    """Where nothing is known nothing is drawn: no line across an outage."""
    lines = draw(Curve("a", [0.5] * 10 + [None] * 20 + [0.5] * 10), width=60, height=12)
    [level] = [line for line in lines if any("\u2800" < character <= "\u28ff" for character in line)]
    drawn = level.split("┤")[-1].split("│")[-1]
    assert "    " in drawn.strip()


def test_letters_tell_series_apart_without_braille() -> None:
    """Where braille cannot be shown each series is drawn by its own letter, in ASCII only."""
    lines = draw(Curve("x", [0.9] * 20), Curve("y", [0.1] * 20), braille=False)
    assert "aaaa" in "".join(lines)
    assert "bbbb" in "".join(lines)
    assert all(line.isascii() for line in lines)


def test_the_legend_says_min_avg_max_last() -> None:
    """Figures are of the drawn values, in the unit of the series."""
    lines = draw(Curve("web-1", [0.1, 0.2, None, 0.3]))
    assert lines[-2].split() == ["min", "avg", "max", "last"]
    assert lines[-1].split() == ["a", "web-1", "10%", "20%", "30%", "30%"]


def test_an_unknown_series_has_no_figures() -> None:
    """Unknown is `–`, never zero."""
    assert draw(Curve("web-1", [None, None]))[-1].split() == ["a", "web-1", "–", "–", "–", "–"]


def test_a_long_name_is_cut_and_said_so() -> None:
    """The legend fits; what is missing ends with `…`."""
    line = draw(Curve("n" * 300, [0.5]), width=60)[-1]
    assert "…" in line
    assert cell_len(line) <= 60


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.sampled_from(["1", "By", "s"]), st.integers(2, 8))
def test_a_scale_holds_its_values(low: float, spread: float, unit: str, ticks: int) -> None:
    """Every value has its place within the axis, and the ticks are few."""
    scale = value_scale(low, low + spread, unit, ticks)
    assert scale.place(low) >= -1e-6
    assert scale.place(low + spread) <= 1 + 1e-6
    assert scale.high > scale.low
    assert 2 <= len(scale.ticks) <= ticks + 3


def test_bytes_have_binary_ticks() -> None:
    """A byte axis steps by powers of two, so that its labels are round."""
    scale = value_scale(0, 9 * 1024**2, "By/s", 5)
    assert [tick_label(tick, scale, "By/s") for tick in scale.ticks][:2] == ["0 B/s", "4.0 MiB/s"]


def test_a_narrow_ratio_axis_has_different_labels() -> None:
    """Idle CPU of 0.1–0.3 % does not read `0% 0% 0%`."""
    scale = value_scale(0.0, 0.003, "1", 4)
    labels = [tick_label(tick, scale, "1") for tick in scale.ticks]
    assert len(set(labels)) == len(labels)


def test_time_ticks_are_round_and_inside() -> None:
    """Ticks of a quarter of an hour stand at whole minutes of the local clock."""
    ticks = time_ticks(START, START + 900_000, 6)
    assert 2 <= len(ticks) <= 7
    assert all(START <= tick <= START + 900_000 and tick % 60_000 == 0 for tick in ticks)


def test_dots_outside_the_canvas_are_ignored() -> None:
    """A wild value never raises and never draws elsewhere."""
    canvas = Canvas(4, 2)
    canvas.dot(-1, 0, 0)
    canvas.dot(0, 99, 0)
    assert all(character == " " for row in range(2) for character, _ in canvas.row(row))


def test_a_diagonal_passes_from_corner_to_corner() -> None:
    """The lower left and the upper right dots of a rising line are set."""
    canvas = Canvas(4, 2)
    canvas.curve([0.0, 1.0], 0)
    assert canvas.row(1)[0][0] in "⡀⡠⡈⣀⡰⠌⡐⡄"
    assert canvas.row(0)[3][0] != " "


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_values_that_are_no_numbers_are_gaps(value: float) -> None:
    """Infinity and NaN neither raise nor spoil the axis."""
    lines = draw(Curve("a", [0.5, value, 0.5]))
    assert lines[-1].split()[2:] == ["50%", "50%", "50%", "50%"]
