"""protocol.metrics: selectors, catalogues and their limits."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import CyberCorpError, InvalidInputError, LimitExceededError
from cybercorp.protocol.metrics import (
    ALIASES,
    MAX_SERIES,
    Catalogue,
    MetricKind,
    Series,
    check_catalogue,
    make_catalogue,
    parse_metric_selector,
)

SDA = Series(
    name="system.disk.io", unit="By", kind=MetricKind.COUNTER, attributes={"device": "sda", "direction": "read"}
)
CPU = Series(name="system.cpu.utilization")
CORE = Series(name="system.cpu.utilization", attributes={"cpu": "0"})


def test_keys_are_canonical() -> None:
    """Attributes are sorted and quoted, so that equal series have equal keys."""
    assert SDA.key == 'system.disk.io{device="sda",direction="read"}'
    assert Series(name="a", attributes={"b": 'x"\\'}).key == 'a{b="x\\"\\\\"}'


@pytest.mark.parametrize(
    ("selector", "series", "matches"),
    [
        ("system.disk.io", SDA, True),
        ('system.disk.io{device="sd*"}', SDA, True),
        ('system.disk.io{device="sd*",direction!="read"}', SDA, False),
        ('system.disk.io{device="vda"}', SDA, False),
        ("system.disk.*", SDA, True),
        ("system.disk", SDA, False),
        ("cpu", CPU, True),
        ("cpu", CORE, False),
        ("cores", CORE, True),
        ("cores", CPU, False),
    ],
)
def test_selectors_match_names_and_attributes(selector: str, series: Series, matches: bool) -> None:
    """Names, globs, negations and aliases select what they say."""
    assert parse_metric_selector(selector).matches(series) is matches


def test_every_alias_is_a_valid_selector() -> None:
    """The short names for people can be parsed."""
    for alias in ALIASES:
        assert parse_metric_selector(alias).name.startswith(("system.", "hw."))


@pytest.mark.parametrize("text", ["", "{", "a{b}", 'a{b="c}', "a b", 'a{b="c"', "1a", "\x1b", "a" * 3000, 'a{b=~".*"}'])
def test_what_is_no_selector_is_refused_with_a_hint(text: str) -> None:
    """A selector that cannot be read gives a clear error."""
    with pytest.raises(InvalidInputError) as caught:
        parse_metric_selector(text)
    assert caught.value.hint


@given(st.text(max_size=60))
def test_no_text_crashes_the_parser(text: str) -> None:
    """Any text is a selector or an InvalidInputError."""
    with contextlib.suppress(InvalidInputError):
        parse_metric_selector(text)


def test_a_catalogue_is_named_by_its_content() -> None:
    """The same series in the same order have the same id; another order has another."""
    assert make_catalogue([SDA, CPU]).id == make_catalogue([SDA, CPU]).id != make_catalogue([CPU, SDA]).id
    check_catalogue(make_catalogue([SDA, CPU]))


@pytest.mark.parametrize(
    "catalogue",
    [
        Catalogue(id="0" * 16, series=(CPU,)),
        make_catalogue([CPU, CPU]),
        make_catalogue([Series(name="")]),
        make_catalogue([Series(name="x" * 300)]),
        make_catalogue([Series(name="x", attributes={"a": "b" * 2000})]),
        make_catalogue([Series(name="x", attributes={str(i): "" for i in range(20)})]),
    ],
)
def test_hostile_catalogues_are_refused(catalogue: Catalogue) -> None:
    """A forged id, duplicates, empty or over-long names and too many attributes are refused."""
    with pytest.raises(CyberCorpError):
        check_catalogue(catalogue)


def test_a_cardinality_bomb_is_refused() -> None:
    """More series than a host may have are refused before anything is stored."""
    with pytest.raises(LimitExceededError, match="20001 series"):
        check_catalogue(make_catalogue(Series(name=f"m{i}") for i in range(MAX_SERIES + 1)))


def test_series_are_compact_on_the_wire() -> None:
    """A series travels as an array: name, unit, kind, attributes."""
    assert msgspec.json.decode(msgspec.json.encode(SDA))[:3] == ["system.disk.io", "By", "counter"]
