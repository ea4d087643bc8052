"""The fleet's window, order, filter and selection, without a terminal."""

from __future__ import annotations

import msgspec
import pytest

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.hosts import HostSort
from cybercorp.tui.state.fleet import FleetModel, make_row, next_sort
from tests.unit.tui.fake_client import FakeClient, summary


def fed(count: int = 200, height: int = 20) -> tuple[FleetModel, FakeClient]:
    model, client = FleetModel(), FakeClient([summary(number) for number in range(count)])
    model.height = height
    model.take(client.window_of(model.request()))
    return model, client


def test_asks_for_what_is_visible_and_half_a_screen_around() -> None:
    """Of ten thousand hosts only some dozens are asked for."""
    model, _ = fed(10_000)
    model.scroll_to(5_000)
    request = model.request()
    assert (request.offset, request.limit) == (4_990, 40)


def test_scrolling_by_a_line_asks_nothing_new() -> None:
    """The window that was asked for stays while what is visible lies inside it."""
    model, _ = fed()
    model.scroll_to(50)
    first = model.request()
    model.scroll_to(55)
    assert model.request() == first
    model.scroll_to(80)
    assert model.request() != first


def test_the_selected_host_stays_selected_through_another_order() -> None:
    """The selection is a host; its rank is what changes."""
    model, client = fed()
    model.move_to(3)
    chosen = model.selected
    model.sort_by(HostSort.CPU)
    model.take(client.window_of(model.request()))
    assert model.selected == chosen
    assert model.selected_row is not None
    assert model.selected_row.id == chosen
    ranks = [row.id for row in client.window_of(msgspec.structs.replace(model.request(), offset=0, limit=500)).rows]
    assert model.cursor == ranks.index(str(chosen))


def test_a_selected_host_out_of_sight_is_a_stray() -> None:
    """Its line can stand at the edge, because the server sends its row and rank."""
    model, client = fed()
    model.move_to(3)
    client.rows = [
        msgspec.structs.replace(row, name="zz-last" if row.id == model.selected else row.name) for row in client.rows
    ]
    model.take(client.window_of(model.request()))
    assert model.cursor == 199
    assert model.stray is not None
    assert model.stray.name == "zz-last"


def test_without_a_choice_the_cursor_stays_on_its_line() -> None:
    """Before the first key the top line is under the cursor, whoever stands there."""
    model, client = fed()
    model.sort_by(HostSort.MEMORY)
    model.take(client.window_of(model.request()))
    assert model.cursor == 0
    assert model.selected is None


def test_a_rank_that_is_not_loaded_yet_is_selected_when_it_comes() -> None:
    """End of a long list: the last host is selected as soon as its row is here."""
    model, client = fed()
    model.move_to(199)
    assert model.selected is None
    model.take(client.window_of(model.request()))
    assert model.cursor == 199
    assert model.selected == model.rows[199].id


def test_a_host_that_goes_leaves_the_cursor_on_a_visible_line() -> None:
    """Removed, or filtered away: nothing is selected, nothing jumps."""
    model, client = fed()
    model.move_to(5)
    client.rows = [row for row in client.rows if row.id != model.selected]
    model.take(client.window_of(model.request()))
    assert model.selected is None
    assert model.cursor == 5


def test_the_line_after_the_last_host_can_be_reached() -> None:
    """It adds a host, and it stays selected while hosts come."""
    model, client = fed(3)
    model.move_to(3)
    assert model.on_add
    client.rows.append(summary(3))
    model.take(client.window_of(model.request()))
    assert (model.on_add, model.cursor) == (True, 4)


@pytest.mark.parametrize(
    ("typed", "sent"), [("web", "*web*"), ("web-*", "web-*"), ("env=prod db", "env=prod *db*"), ("cpu>80", "cpu>80")]
)
def test_a_bare_word_means_every_name_that_holds_it(typed: str, sent: str) -> None:
    """Filters of other tools search inside; selectors of the protocol are exact."""
    model, _ = fed()
    model.filter_by(typed)
    assert model.request().selector == sent


def test_a_filter_that_cannot_be_read_changes_nothing() -> None:
    """The last good filter stays in force while a new one is being typed."""
    model, _ = fed()
    model.filter_by("web-*")
    with pytest.raises(InvalidInputError):
        model.filter_by("colour>80")
    assert model.selector == "web-*"


def test_quantities_begin_with_the_largest_and_names_with_a() -> None:
    """Choosing a column again turns it around."""
    model, _ = fed()
    directions = []
    for sort in (HostSort.CPU, HostSort.CPU, HostSort.NAME):
        model.sort_by(sort)
        directions.append(model.descending)
    assert directions == [True, False, False]


def test_the_orders_go_round() -> None:
    """`s` reaches every order and comes back."""
    seen, sort = [], HostSort.NAME
    for _ in range(9):
        seen.append(sort)
        sort = next_sort(sort)
    assert set(seen) == set(HostSort)
    assert sort is HostSort.NAME


def test_foreign_text_is_made_safe_where_it_enters() -> None:
    """Names, labels and processes of a host cannot hold a control sequence, and are short."""
    row = make_row(
        summary(1, name="\x1b]52;c;ZXZpbA==\x07", labels={"a\u202eb": "[red]x[/]"}, top_process="x" * 1_000_000)
    )
    assert all(text.isprintable() for text in (row.name, row.labels, row.top_process))
    assert "[red]x[/]" in row.labels
    assert len(row.top_process) <= 40


def test_history_steps_become_ratios() -> None:
    """0–200 are half per cents, 255 is unknown."""
    assert make_row(summary(1, cpu_history=bytes([0, 100, 200, 255]))).history == (0.0, 0.5, 1.0, None)
