"""The fleet as lines: columns by importance, equal widths, one unit per column."""

from __future__ import annotations

import itertools

import pytest

from cybercorp.core.units import UNKNOWN
from cybercorp.tui.state.fleet import FleetModel, make_row
from cybercorp.tui.state.fleet_columns import FleetLayout, head_line, place_columns, row_line, short_age
from cybercorp.tui.state.lines import line_width, text_of
from tests.unit.tui.fake_client import START_MS, FakeClient, summary


def fed(count: int = 40) -> FleetModel:
    model, client = FleetModel(), FakeClient([summary(number) for number in range(count)])
    model.height = count
    model.take(client.window_of(model.request()))
    return model


@pytest.mark.parametrize("width", range(79, 260))
def test_columns_fit_every_width(width: int) -> None:
    """No column stands on another one or over the edge, and the last ends at it."""
    placed = place_columns(width, names=40, alerts=True, labels=50)
    for one, after in itertools.pairwise(placed):
        assert one.x + one.width < after.x
    assert placed[-1].spec.name == "seen"
    assert placed[-1].x + placed[-1].width <= width


def test_narrow_screens_drop_the_least_important() -> None:
    """At 80 columns the numbers stay; process and labels wait for room."""
    narrow = {one.spec.name for one in place_columns(79, labels=20)}
    wide = {one.spec.name for one in place_columns(200, labels=20, alerts=True)}
    assert {"name", "cpu", "history", "memory", "disk", "network_receive", "network_transmit", "load", "seen"} <= narrow
    assert not narrow & {"top", "labels"}
    assert wide == narrow | {"top", "labels", "alerts", "memory_bar"}


@pytest.mark.parametrize("width", [79, 119, 199])
def test_every_row_is_as_wide_as_the_head(width: int) -> None:
    """Numbers stand below their heads, whatever the values are."""
    model, layout = fed(), FleetLayout()
    columns = layout.columns(model, width)
    wanted = line_width(head_line(model, columns))
    for row in model.rows.values():
        assert line_width(row_line(row, columns, now_ms=START_MS)) == wanted


def test_unknown_is_a_dash_and_never_zero() -> None:
    """A host that says nothing has no numbers."""
    model = fed()
    row = make_row(
        summary(
            1,
            cpu=None,
            memory=None,
            disk=None,
            network_receive=None,
            network_transmit=None,
            load=None,
            top_process=None,
            seen_at_ms=None,
        )
    )
    text = text_of(row_line(row, FleetLayout().columns(model, 120), now_ms=START_MS))
    assert text.count(UNKNOWN) == 8
    assert "0" not in text.split("web")[0]


def test_states_have_glyphs() -> None:
    """Online, stale and offline differ without colours."""
    columns = FleetLayout().columns(fed(), 120)
    glyphs = {text_of(row_line(make_row(summary(n)), columns, now_ms=START_MS))[2] for n in (1, 13, 19)}
    assert glyphs == {"●", "✖", "◌"}


def test_a_column_has_one_unit_that_does_not_flicker() -> None:
    """The unit grows with the largest value and shrinks only after a minute."""
    client, model, layout = FakeClient([summary(1, network_receive=5e6)]), FleetModel(), FleetLayout()
    model.take(client.window_of(model.request()))
    assert layout.columns(model, 120).receive.unit == "MiB/s"
    client.rows = [summary(1, network_receive=10.0)]
    client.clock.advance(30)
    model.take(client.window_of(model.request()))
    assert layout.columns(model, 120).receive.unit == "MiB/s"
    client.clock.advance(31)
    model.take(client.window_of(model.request()))
    assert layout.columns(model, 120).receive.unit == "KiB/s"


def test_a_long_name_is_cut_with_an_ellipsis_and_wide_letters_keep_the_columns() -> None:
    """Names of 253 signs or of double-width letters do not move a number."""
    client = FakeClient([summary(1, name="x" * 253), summary(2, name="主機" * 40), summary(3)])
    model = FleetModel()
    model.take(client.window_of(model.request()))
    columns = FleetLayout().columns(model, 100)
    lines = [row_line(row, columns, now_ms=START_MS) for row in model.rows.values()]
    assert len({line_width(line) for line in lines}) == 1
    assert sum("…" in text_of(line) for line in lines) == 2


@pytest.mark.parametrize(
    ("ago_s", "text"), [(0, "now"), (2, "now"), (14, "14s"), (247, "4m"), (7200, "2h"), (90_000, "1d")]
)
def test_ages_are_short(ago_s: int, text: str) -> None:
    """Four cells are enough for every age."""
    assert short_age(START_MS - ago_s * 1000, START_MS) == text
