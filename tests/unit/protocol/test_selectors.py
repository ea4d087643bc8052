"""protocol.selectors: which hosts are meant."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.selectors import parse_host_selector


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("*", True),
        ("web-1", True),
        ("web-*", True),
        ("db-*", False),
        ("env=prod", True),
        ("env=pr*", True),
        ("env!=prod", False),
        ("team=shop", False),
        ("team!=shop", True),
        ("state=online", True),
        ("cpu>80", True),
        ("cpu>90", False),
        ("cpu<=87%", True),
        ("load<1", False),
        ("mem>0", False),
        ("web-* env=prod cpu>80", True),
        ("web-* env=test", False),
    ],
)
def test_selectors_choose_hosts(selector: str, matches: bool) -> None:
    """Names, globs, labels, states and comparisons; all words must hold; an unknown value never compares."""
    parsed = parse_host_selector(selector)
    values = {"cpu": 0.87, "load": 7.9, "mem": None}
    assert parsed.matches("web-1", {"env": "prod"}, state="online", values=values) is matches


@pytest.mark.parametrize("text", ["foo>1", "cpu>", "cpu>abc", "=x", "a" * 600, " ".join(["x"] * 30), "cpu=>3"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    """A wrong comparison or an endless selector gets a hint."""
    with pytest.raises(InvalidInputError) as caught:
        parse_host_selector(text)
    assert caught.value.hint


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_crashes_parser_or_matching(text: str, name: str) -> None:
    """Any text is a selector that can be asked, or an InvalidInputError."""
    with contextlib.suppress(InvalidInputError):
        parse_host_selector(text).matches(name)
