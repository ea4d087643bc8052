"""Records for programs: JSON, newline-delimited JSON, YAML and CSV. What they hold, no terminal can be harmed by."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from cybercorp.cli.output.columns import Value, flat
from cybercorp.security.display import safe_text, spreadsheet_cell

Record = Mapping[str, Value]
WHOLE = 1 << 40  # the limit of `safe_text` where nothing may be cut
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_PLAIN_YAML = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*")
_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "none", "nan", "inf"}


def json_text(value: Any) -> str:
    """Compact JSON in which every character that is not printable is a \\u escape; NaN and infinity are null."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def write_json(stream: TextIO, records: Iterable[Record]) -> None:
    """An array with one record a line."""
    first = True
    for record in records:
        stream.write("[\n" if first else ",\n")
        stream.write(json_text(record))
        first = False
    stream.write("[]\n" if first else "\n]\n")


def write_ndjson(stream: TextIO, records: Iterable[Record]) -> None:
    """One JSON object a line."""
    for record in records:
        stream.write(json_text(record) + "\n")


def write_csv(stream: TextIO, records: Iterable[Record], keys: Sequence[str], *, header: bool = True) -> None:
    """RFC 4180 with Unix line ends; a cell that a spreadsheet would run as a formula starts with an apostrophe."""
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(keys)
    for record in records:
        writer.writerow([_csv_cell(record.get(key)) for key in keys])


def write_yaml(stream: TextIO, records: Iterable[Record]) -> None:
    """A list of mappings."""
    empty = True
    for record in records:
        stream.write("\n".join(_yaml_lines([record], 0)) + "\n")
        empty = False
    if empty:
        stream.write("[]\n")


def yaml_text(value: Any) -> str:
    """One value as a YAML document, without a final line end."""
    if isinstance(value, Mapping | list | tuple) and value:
        return "\n".join(_yaml_lines(value, 0))
    return _yaml_scalar(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character.isprintable():
        return character
    point = ord(character)
    if point <= 0xFFFF:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 + (point >> 10):04x}\\u{0xDC00 + (point & 0x3FF):04x}"


def _csv_cell(value: Value) -> str | int | float:
    value = _finite(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return spreadsheet_cell(flat(value), WHOLE)


def _yaml_lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, Mapping | list | tuple) and one:
                yield f"{indent}{_yaml_scalar(str(key))}:"
                yield from _yaml_lines(one, depth + 1)
            else:
                yield f"{indent}{_yaml_scalar(str(key))}: {_yaml_scalar(one)}"
        return
    for one in value:
        if isinstance(one, Mapping | list | tuple) and one:
            inner = list(_yaml_lines(one, depth + 1))
            yield f"{indent}- {inner[0].lstrip(' ')}"
            yield from inner[1:]
        else:
            yield f"{indent}- {_yaml_scalar(one)}"


def _yaml_scalar(value: Any) -> str:
    value = _finite(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _yaml_float(value) if isinstance(value, float) else str(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    text = safe_text(str(value), WHOLE)
    if _PLAIN_YAML.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    # A JSON string without escapes beyond quote and backslash is a YAML double-quoted scalar.
    return json.dumps(text, ensure_ascii=False)


def _yaml_float(value: float) -> str:
    # YAML 1.1 reads 1e-05 as a string: its floats have a dot.
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text
