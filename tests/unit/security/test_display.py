"""security.display: nothing foreign reaches a terminal as a control sequence."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.security.display import safe_text

ATTACKS = [
    "\x1b[31mred",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31m",
    "\x1bP+q544e\x1b\\",
    "evil\u202etxt.exe",
    "a\u2066b\u2069",
    "zero\u200bwidth\ufeff",
    "line\u2028break\nand\rmore",
    "\ud800",
    "\U000e0041tag",
    "\x00\x07\x08\x7f",
    "e" + "\u0301" * 500,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_spelled_out_not_sent(attack: str) -> None:
    """Escapes, C1, OSC 52, DCS, bidi, zero-width, separators, surrogates, tags and mark stacks become plain text."""
    shown = safe_text(attack, 2000)
    assert shown.isprintable()
    shown.encode()
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for character in shown)


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(min_value=1, max_value=300))
def test_every_text_becomes_safe_short_and_stable(text: str, limit: int) -> None:
    """For any text and limit: printable, bounded, encodable, and a fixed point."""
    shown = safe_text(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()
    assert safe_text(shown, limit) == shown


@pytest.mark.parametrize("text", ["nginx: worker", "日本語プロセス", "café", "🎉 party", "a b", "{}[]<>&%$"])
def test_honest_text_stays_as_it_is(text: str) -> None:
    """Names in any script are shown unchanged."""
    assert safe_text(text) == text


def test_a_megabyte_costs_no_megabyte() -> None:
    """A huge text is cut before it is looked at, and says that it was cut."""
    shown = safe_text("\x1b" * 1_000_000, 80)
    assert len(shown) == 80
    assert shown.endswith("…")
