"""Whether the terminal shows more than ASCII, and what stands in for our own glyphs where it does not."""

from __future__ import annotations

from textual.app import App

_PLAIN = str.maketrans(
    {
        "–": "-",
        "…": "~",
        "·": ".",
        "°": " ",
        "▼": "v",
        "▲": "^",
        "↓": "v",
        "↑": "^",
        "▌": ">",
        "│": "|",
        "─": "-",
        "●": "*",
        "◌": "o",
        "◀": "<",
        "✖": "x",
        "→": ">",
        "▸": "+",
        "▾": "-",
    }
)


def wants_ascii(app: App[object]) -> bool:
    """True when only ASCII may be drawn: the app's `ascii_glyphs`."""
    return bool(getattr(app, "ascii_glyphs", False))


def to_ascii(text: str) -> str:
    """Our own glyphs as ASCII, cell for cell; names from hosts stay as they are."""
    return text if text.isascii() else text.translate(_PLAIN)
