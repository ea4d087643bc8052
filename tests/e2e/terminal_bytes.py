"""What a program sends to a terminal, taken apart: which control sequences, which control characters.

The checker compares a hostile run with a baseline run of the same program: a renderer may move, colour and clear, but
foreign data may add no control sequence of a kind that the baseline does not have, and no control character at all.
"""

from __future__ import annotations

import re
import unicodedata

_SEQUENCE = re.compile(
    r"\x1b\[(?P<private>[<=>?]?)[0-9;:]*(?P<between>[ -/]*)(?P<final>[@-~])"  # CSI
    r"|\x1b(?P<string>[\]P_^X])(?P<body>[^\x07\x1b]*)(?:\x07|\x1b\\)"  # OSC, DCS, APC, PM, SOS
    r"|\x1b(?P<short>[ -/]*[0-~])"  # ESC and a final character
)
_DRAWING = {"CSI m", "CSI H", "CSI A", "CSI B", "CSI C", "CSI D", "CSI G", "CSI K", "CSI J"}
_HARMLESS = {"\r", "\n", "\t", "\x08"}
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def shapes(data: bytes) -> set[str]:
    """The kinds of control sequences and control characters in `data`, without their parameters."""
    text = data.decode("utf-8", "replace")
    found: set[str] = set()

    def note(match: re.Match[str]) -> str:
        if match["final"]:
            found.add(f"CSI {match['private']}{match['between']}{match['final']}")
        elif match["string"]:
            found.add(f"STRING {match['string']}{match['body'].partition(';')[0][:20]}")
        else:
            found.add(f"ESC {match['short']}")
        return ""

    rest = _SEQUENCE.sub(note, text)
    for character in set(rest) - _HARMLESS:
        if unicodedata.category(character) in _INVISIBLE:
            found.add(f"CHARACTER U+{ord(character):04X}")
    return found


def foreign_shapes(data: bytes, baseline: bytes) -> set[str]:
    """What `data` does to a terminal that `baseline` did not and that is more than drawing."""
    return shapes(data) - shapes(baseline) - _DRAWING
