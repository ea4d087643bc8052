"""The process table's filter: words that must all match, as `shop cpu>50 user=root`."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from cybercorp.core.errors import InvalidInputError

FILTER_HINT = "Write a name, a user, a pid, or comparisons like cpu>50, rss>100M, threads>=8, user=root, state=R."
MAX_FILTER_LENGTH = 200

_COMPARISON = re.compile(r"([a-z]+)(>=|<=|!=|>|<|=)(.+)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?(?:/s)?%?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1.0, "k": 1024.0, "m": 1024.0**2, "g": 1024.0**3, "t": 1024.0**4}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_NUMERIC = {
    "cpu": "cpu",
    "rss": "rss",
    "mem": "rss",
    "memory": "rss",
    "threads": "threads",
    "thr": "threads",
    "pid": "pid",
    "ppid": "parent",
    "parent": "parent",
    "read": "read",
    "write": "write",
    "io": "io",
}
_TEXTUAL = {"user": "user", "name": "name", "command": "command", "cmd": "command", "state": "state"}


class Rows(Protocol):
    """What the filter reads of a process table: safe text and numbers by row. `cpu` is in per cent of one core."""

    def text(self, field: str, row: int) -> str: ...

    def number(self, field: str, row: int) -> float | None: ...


class _Word(NamedTuple):
    field: str
    test: Callable[[float, float], bool]
    number: float
    text: str
    negated: bool
    kind: str  # "number", "text", "any"


class ProcessFilter:
    """A parsed filter; an empty one matches everything."""

    def __init__(self, source: str, words: Sequence[_Word]) -> None:
        self.source = source
        self._words = tuple(words)

    def __bool__(self) -> bool:
        return bool(self._words)

    def matches(self, rows: Rows, row: int) -> bool:
        """True when every word matches; an unknown number matches no comparison."""
        return all(_matches(word, rows, row) for word in self._words)


def parse_process_filter(text: str) -> ProcessFilter:
    """Read a filter. Raises InvalidInputError with what would be right."""
    source = text.strip()
    if len(source) > MAX_FILTER_LENGTH:
        raise InvalidInputError("The filter is too long.", hint=f"Use at most {MAX_FILTER_LENGTH} characters.")
    return ProcessFilter(source, [_parse_word(word) for word in source.split()])


def _parse_word(word: str) -> _Word:
    found = _COMPARISON.fullmatch(word)
    field = found.group(1).lower() if found else ""
    if not found or (field not in _NUMERIC and field not in _TEXTUAL):
        # Not ours: `LANG=C` in a command line is something to look for, as it is.
        return _Word("", operator.eq, 0.0, word.casefold(), False, "any")
    sign, value = found.group(2), found.group(3)
    if field in _TEXTUAL:
        if sign not in ("=", "!="):
            raise InvalidInputError(f"'{word}': {field} is a text; compare it with = or !=.", hint=FILTER_HINT)
        return _Word(_TEXTUAL[field], operator.eq, 0.0, value.casefold(), sign == "!=", "text")
    number = _NUMBER.fullmatch(value)
    if not number:
        raise InvalidInputError(f"'{value}' is not a number.", hint=FILTER_HINT)
    amount = float(number.group(1)) * _FACTORS[number.group(2).lower()]
    return _Word(_NUMERIC[field], _OPERATORS[sign], amount, "", False, "number")


def _matches(word: _Word, rows: Rows, row: int) -> bool:
    if word.kind == "number":
        if word.field == "io":
            parts = [rows.number("read", row), rows.number("write", row)]
            known = [one for one in parts if one is not None]
            return bool(known) and word.test(sum(known), word.number)
        value = rows.number(word.field, row)
        return value is not None and word.test(value, word.number)
    if word.kind == "text":
        value_text = rows.text(word.field, row).casefold()
        if any(one in word.text for one in "*?["):
            hit = fnmatch.fnmatchcase(value_text, word.text)
        elif word.field in ("command", "name"):
            hit = word.text in value_text
        else:
            hit = value_text == word.text
        return hit is not word.negated
    if word.text.isascii() and word.text.isdigit() and rows.number("pid", row) == float(word.text):
        return True
    return (
        word.text in rows.text("command", row).casefold()
        or word.text in rows.text("name", row).casefold()
        or word.text in rows.text("user", row).casefold()
    )
