"""core.units: numbers for people."""

import math

import pytest

from cybercorp.core.units import format_age, format_value


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.874, "1", "87%"),
        (0.0123, "1", "1.2%"),
        (0.0, "1", "0%"),
        (1.0, "1", "100%"),
        (1536, "By", "1.5 KiB"),
        (0, "By", "0 B"),
        (1023, "By", "1.0 KiB"),
        (34_359_738_368, "By", "32.0 GiB"),
        (12.4 * 1024**2, "By/s", "12.4 MiB/s"),
        (71.2, "Cel", "71 °C"),
        (90_061, "s", "1d 1h"),
        (0.25, "s", "0.25s"),
        (12_345, "{thread}", "12.3k"),
        (2_400_000_000, "Hz", "2.4GHz"),
        (2100, "{rpm}", "2,100 rpm"),
        (None, "By", "–"),
        (math.nan, "1", "–"),
        (math.inf, "By", "–"),
    ],
)
def test_values_are_written_for_people(value: float | None, unit: str, shown: str) -> None:
    """Each UCUM unit has its spelling; what is unknown is a dash, never 0."""
    assert format_value(value, unit) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "now"), (14, "14s ago"), (250, "4m ago"), (7300, "2h ago"), (200_000, "2d ago")]
)
def test_ages(seconds: float, shown: str) -> None:
    """Ages use one unit, so that the column stays narrow."""
    assert format_age(seconds) == shown
