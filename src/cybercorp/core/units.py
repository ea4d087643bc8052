"""Numbers for people: scaled by their UCUM unit, fixed precision, `–` for unknown. Used by every table and chart."""

from __future__ import annotations

import math

UNKNOWN = "–"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")


def format_value(value: float | None, unit: str) -> str:
    """`value` in its UCUM `unit` (`1`, `By`, `By/s`, `s`, `Hz`, `Cel`, `{…}`) as a person writes it."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    match unit:
        case "1":
            return format_ratio(value)
        case "By":
            return format_bytes(value)
        case "By/s":
            return f"{format_bytes(value)}/s"
        case "s":
            return format_seconds(value)
        case "Cel":
            return f"{value:.0f} °C"
        case "Hz":
            return f"{format_decimal(value)}Hz"
        case "V" | "W" | "J" | "A":
            return f"{value:.1f} {unit}"
        case "{rpm}" | "{revolution}/min":
            return f"{value:,.0f} rpm"
        case _:
            suffix = "/s" if unit.endswith("/s") else ""
            return f"{format_decimal(value)}{suffix}"


def format_ratio(value: float | None) -> str:
    """A ratio as a percentage: `0.874` is `87%`; one decimal below 10 %."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    percent = value * 100
    return f"{percent:.1f}%" if 0 < abs(percent) < 9.95 else f"{percent:.0f}%"


def format_bytes(value: float | None) -> str:
    """Bytes in binary units: `1536` is `1.5 KiB`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size, step = float(value), 0
    while abs(size) >= 1000 and step < len(_BINARY) - 1:
        size /= 1024
        step += 1
    return f"{size:.0f} {_BINARY[step]}" if step == 0 or abs(size) >= 100 else f"{size:.1f} {_BINARY[step]}"


def format_decimal(value: float | None) -> str:
    """A count with decimal prefixes: `12345` is `12.3k`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size, step = float(value), 0
    while abs(size) >= 1000 and step < len(_DECIMAL) - 1:
        size /= 1000
        step += 1
    if step == 0:
        return f"{size:.0f}" if size == int(size) else f"{size:.2f}"
    return f"{size:.1f}{_DECIMAL[step]}"


def format_seconds(value: float | None) -> str:
    """A span of seconds in its two largest units: `90061` is `1d 1h`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 60:
        return f"{value:.3g}s"
    whole = int(abs(value))
    sign = "-" if value < 0 else ""
    for size, unit, next_size, next_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{sign}{whole // size}{unit} {rest}{next_unit}" if rest else f"{sign}{whole // size}{unit}"
    return f"{sign}{whole}s"


def format_age(seconds: float | None) -> str:
    """How long ago: `now`, `14s ago`, `4m ago`, `3h ago`, `2d ago`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 3:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago"
