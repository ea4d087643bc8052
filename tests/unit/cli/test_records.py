"""JSON, NDJSON, YAML and CSV: exact for programs, harmless for terminals and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.cli.output.records import json_text, write_csv, write_json, write_ndjson, write_yaml, yaml_text

HOSTILE = ["\x1b]52;c;UFdO\x07", "a\u202eb", "\x9b31m", "line\u2028two", "nul\x00", "\udcff", "\x7f", "\U000e0001tag"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_reads_back_as_it_was_and_is_printable(value: Any) -> None:
    """Whatever the strings hold, the JSON is one printable line that parses to the same value."""
    text = json_text(value)
    assert text.isprintable()
    assert json.loads(text) == value


@pytest.mark.parametrize("text", HOSTILE)
def test_json_escapes_what_a_terminal_obeys(text: str) -> None:
    """C0, C1, bidi, separators and lone surrogates are \\u escapes."""
    assert json_text(text).isprintable()
    assert json.loads(json_text(text)) == text


def test_json_has_no_nan() -> None:
    """NaN and infinity, which are no JSON, are null."""
    assert json.loads(json_text([math.nan, math.inf, -math.inf, 1.5])) == [None, None, None, 1.5]


def test_an_array_has_a_record_a_line() -> None:
    """`-o json` is one array, readable by line, and an empty one is `[]`."""
    stream = io.StringIO()
    write_json(stream, [{"a": 1}, {"a": 2}])
    assert json.loads(stream.getvalue()) == [{"a": 1}, {"a": 2}]
    assert stream.getvalue().count("\n") == 4
    stream = io.StringIO()
    write_json(stream, [])
    assert json.loads(stream.getvalue()) == []


def test_ndjson_has_an_object_a_line() -> None:
    """Each line parses alone; no record, no line."""
    stream = io.StringIO()
    write_ndjson(stream, [{"a": "x\ny"}, {"a": 2}])
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [{"a": "x\ny"}, {"a": 2}]


@pytest.mark.parametrize("cell", ["=1+1", "+SUM(A1)", "-2+3", "@x", "\t=1", "|cmd", "%a", " =1"])
def test_csv_neutralises_formulas(cell: str) -> None:
    """A spreadsheet shows the text instead of running it."""
    stream = io.StringIO()
    write_csv(stream, [{"name": cell}], ["name"])
    [_, [shown]] = list(csv.reader(io.StringIO(stream.getvalue())))
    assert shown.startswith("'") or not shown.lstrip().startswith(("=", "+", "-", "@", "|", "%"))


def test_csv_keeps_numbers_and_spells_out_controls() -> None:
    """A negative number is a number, unknown is empty, mappings are readable, escapes are visible."""
    stream = io.StringIO()
    record = {"a": -1.5, "b": None, "c": {"env": "prod", "team": "x"}, "d": "\x1b[31m", "e": math.nan}
    write_csv(stream, [record], ["a", "b", "c", "d", "e"])
    [_, row] = list(csv.reader(io.StringIO(stream.getvalue())))
    assert row == ["-1.5", "", "env=prod team=x", "\\x1b[31m", ""]


def test_a_stream_of_csv_has_one_header() -> None:
    """A later batch of an endless list comes without a header."""
    stream = io.StringIO()
    write_csv(stream, [{"a": 1}], ["a"])
    write_csv(stream, [{"a": 2}], ["a"], header=False)
    assert stream.getvalue() == "a\n1\n2\n"


@given(st.dictionaries(st.text("abcXYZ:-# ö", min_size=1, max_size=6), VALUES, min_size=1, max_size=4))
def test_yaml_reads_back_and_is_printable(record: dict[str, Any]) -> None:
    """YAML parses to the same structure; strings hold printable characters only."""
    stream = io.StringIO()
    write_yaml(stream, [record])
    text = stream.getvalue()
    assert all(line.isprintable() for line in text.split("\n"))
    [read] = yaml.safe_load(text)
    assert len(read) == len(record)
    for key, value in record.items():
        if isinstance(value, bool | int | float) or value is None:
            assert read[key] == value
        elif isinstance(value, list | dict):
            assert len(read[key]) <= len(value)
        else:
            assert isinstance(read[key], str)


@pytest.mark.parametrize(
    "text", ["yes", "NO", "null", "1", "1.5", "1e5", "- a", "a: b", "", "#c", "0x1f", "12:30", "~", "{"]
)
def test_yaml_strings_stay_strings(text: str) -> None:
    """No name of a host becomes a boolean, a number or a structure."""
    assert yaml.safe_load(yaml_text({"name": text})) == {"name": text}


def test_yaml_of_nothing_is_an_empty_list() -> None:
    """A program can read it."""
    stream = io.StringIO()
    write_yaml(stream, [])
    assert yaml.safe_load(stream.getvalue()) == []
