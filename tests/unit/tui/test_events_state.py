"""The event list: order, filter, live growth, paging."""

from __future__ import annotations

import pytest

from cybercorp.protocol.events import Severity
from cybercorp.tui.state.events import EventsModel, make_row, parse_filter, row_line
from cybercorp.tui.state.lines import text_of
from tests.unit.tui.fake_client import START_MS, event


def fed(count: int = 50) -> EventsModel:
    model = EventsModel()
    model.add([event(number, severity=Severity.ERROR if number % 5 == 0 else Severity.INFO) for number in range(count)])
    return model


def test_newest_stand_first_and_the_order_can_be_turned() -> None:
    """Row 0 is the newest, or the oldest."""
    model = fed()
    assert model.row(0).id == 49
    model.turn()
    assert model.row(0).id == 0


def test_pages_may_come_in_any_order_and_twice() -> None:
    """Live events and older pages overlap; every event is shown once, in the log's order."""
    model = EventsModel()
    model.add([event(30), event(31)])
    model.add([event(10), event(11), event(30)])
    model.add([event(20)])
    assert [model.row(index).id for index in range(model.count)] == [31, 30, 20, 11, 10]


def test_a_selected_event_stays_selected_while_others_come() -> None:
    """The cursor moves down with its event; on the first row it stays with the newest."""
    model = fed()
    model.move_to(3)
    chosen = model.selected_row
    assert model.add([event(50), event(51)]) == 2
    assert model.selected_row == chosen
    model.move_to(0)
    model.add([event(52)])
    assert model.selected_row is not None
    assert model.selected_row.id == 52


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 50),
        ("severity=error", 10),
        ("kind=host.disc*", 10),
        ("kind=host", 50),
        ("host=web-7", 1),
        ("fell silent", 10),
        ("WEB-4", 11),
        ("severity=error web-45", 1),
        ("nothing like it", 0),
    ],
)
def test_filters_by_kind_host_severity_and_text(text: str, count: int) -> None:
    """All words must hold."""
    model = fed()
    model.filter_by(text)
    assert model.count == count


def test_an_empty_list_has_no_selected_row() -> None:
    """A filter that matches nothing selects nothing."""
    model = fed()
    model.filter_by("nothing")
    assert model.selected_row is None
    model.move_to(4)
    assert model.cursor == 0


def test_every_text_is_a_filter() -> None:
    """Nothing a person types is an error."""
    assert parse_filter("= == host= [x").words == ("=", "==", "[x")


def test_foreign_text_is_made_safe_where_it_enters() -> None:
    """Message, host, kind and attributes of an event come from agents."""
    row = make_row(
        event(1, message="a\x1b[2J\nb", host="\u202eevil", kind="x\x07", attributes={"k\x00": "v\x9b" * 1000})
    )
    texts = [row.message, row.host, row.kind, *(text for pair in row.attributes for text in pair)]
    assert all(text.isprintable() for text in texts)
    assert len(row.attributes[0][1]) <= 300


def test_severities_have_glyphs() -> None:
    """Information, warning and error differ without colours."""
    glyphs = {text_of(row_line(make_row(event(1, severity=one)), 120, now_ms=START_MS))[2] for one in Severity}
    assert glyphs == {"·", "▲", "✖"}
