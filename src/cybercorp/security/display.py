"""Make foreign text safe to show: the one function every name from a host passes before it meets a terminal.

A process may call itself `\\x1b]52;c;…` (writes your clipboard), a host may carry a right-to-left override, a command
line may be a megabyte long. Textual, Rich and plain `print` send all of that to the terminal as it is. What leaves
`safe_text` holds printable characters only, stays on one line and has a bounded length.
"""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\0"}
_MAX_MARKS = 2  # combining marks on one character; more is a stack that climbs over other lines


def safe_text(text: str, limit: int = 200) -> str:
    """`text` with every control, format, bidi, private or unassigned character spelled out, at most `limit` long.

    Unsafe characters become what a programmer would write (`\\x1b`, `\\u202e`), so that an attack is visible instead of
    silently gone. Other blanks than the space become a space. A longer text ends with `…`. The result is a fixed point:
    passing it again changes nothing.
    """
    if len(text) > limit:
        text = text[: max(limit, 1)] + ELLIPSIS
    if text.isascii():
        if text.isprintable():
            return text if len(text) <= limit else _cut(text, limit)
    elif text.isprintable() and not _has_marks(text):
        return text if len(text) <= limit else _cut(text, limit)
    return _cut(_spell_out(text), limit)


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def spreadsheet_cell(text: str, limit: int = 1 << 40) -> str:
    """`safe_text` that no spreadsheet runs: what would start a formula starts with an apostrophe instead."""
    shown = safe_text(text, limit)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _spell_out(text: str) -> str:
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me"):
            marks += 1
            if marks <= _MAX_MARKS and shown:
                shown.append(character)
            continue
        marks = 0
        if character.isprintable():
            shown.append(character)
        elif category == "Zs":
            shown.append(" ")
        else:
            shown.append(_SHORT.get(character) or _escape(ord(character)))
    return "".join(shown)


def _escape(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _has_marks(text: str) -> bool:
    return any(unicodedata.category(character) in ("Mn", "Me") for character in text)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: max(limit - 1, 0)].removesuffix(ELLIPSIS) + ELLIPSIS
