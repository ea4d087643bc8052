"""The process filter: words that must all hold, clear answers to what cannot be read."""

from __future__ import annotations

import pytest

from cybercorp.core.errors import InvalidInputError
from cybercorp.tui.state.processes_filter import parse_process_filter

TEXTS = {"name": "java", "command": "/usr/bin/java -jar shop.jar LANG=C", "user": "Shop", "state": "S"}
NUMBERS: dict[str, float | None] = {
    "pid": 4121,
    "parent": 1,
    "cpu": 61.2,
    "rss": 4.1 * 1024**3,
    "threads": 214,
    "read": None,
    "write": 2048.0,
}


class One:
    """A table with a single row."""

    def text(self, field: str, row: int) -> str:
        return TEXTS[field]

    def number(self, field: str, row: int) -> float | None:
        return NUMBERS[field]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "java",
        "JAVA",
        "shop.jar",
        "shop",
        "4121",
        "cpu>50",
        "cpu>=61.2",
        "cpu<62%",
        "rss>4G",
        "rss>4GiB",
        "mem<5g",
        "threads!=1",
        "user=shop",
        "user=sh*",
        "user!=root",
        "name=jav?",
        "cmd=*shop.jar*",
        "state=s",
        "pid=4121",
        "ppid=1",
        "write>=2k",
        "io>1K",
        "java cpu>50 user=shop",
        "LANG=C",
    ],
)
def test_a_filter_that_matches(text: str) -> None:
    """Names, users, pids, comparisons with units and globs find the process."""
    assert parse_process_filter(text).matches(One(), 0)


@pytest.mark.parametrize(
    "text", ["python", "cpu>90", "412", "user=root", "user!=shop", "read>0", "read<=0", "java cpu>90", "name=java2*"]
)
def test_a_filter_that_does_not_match(text: str) -> None:
    """One word that does not hold is enough; an unknown number holds no comparison; a pid matches as a whole."""
    assert not parse_process_filter(text).matches(One(), 0)


@pytest.mark.parametrize("text", ["cpu>lots", "user>root", "rss>", "cpu=1e400x", "x" * 300])
def test_a_filter_that_cannot_be_read_says_what_would_be(text: str) -> None:
    """The error names what is wrong and shows what is right; an unfinished word is searched for as it is."""
    if text == "rss>":
        assert not parse_process_filter(text).matches(One(), 0)
        return
    with pytest.raises(InvalidInputError) as caught:
        parse_process_filter(text)
    assert caught.value.hint


def test_an_empty_filter_is_false() -> None:
    """Nothing to filter by is visible as such."""
    assert not parse_process_filter("  ")
    assert parse_process_filter("a")
