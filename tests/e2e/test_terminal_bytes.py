"""The checker of terminal bytes finds what it is there to find."""

import pytest

from tests.e2e.terminal_bytes import foreign_shapes, shapes

BASELINE = b"\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H\x1b[38;2;1;2;3mCPU 12 %\x1b[0m\r\n"


@pytest.mark.parametrize(
    ("attack", "shape"),
    [
        ("\x1b]52;c;ZXZpbA==\x07", "STRING ]52"),
        ("\x1b]0;title\x1b\\", "STRING ]0"),
        ("\x1bP+q544e\x1b\\", "STRING P+q544e"),
        ("\x1b_payload\x1b\\", "STRING _payload"),
        ("\x1b[?1000h\x1b[6n", "CSI n"),
        ("\x1bc", "ESC c"),
        ("\x9b31m", "CHARACTER U+009B"),
        ("\x07", "CHARACTER U+0007"),
        ("\u202e", "CHARACTER U+202E"),
        ("\u200b", "CHARACTER U+200B"),
        ("\u2028", "CHARACTER U+2028"),
        ("\x1b", "ESC  m"),
    ],
)
def test_a_planted_sequence_is_found(attack: str, shape: str) -> None:
    """Each kind of attack that slipped through would be seen, also in the middle of honest output."""
    assert shape in foreign_shapes(BASELINE + f"name {attack} more".encode(), BASELINE)


def test_honest_drawing_is_not_blamed() -> None:
    """The renderer's own sequences with other parameters, and text in any script, are no finding."""
    assert foreign_shapes("\x1b[12;7H\x1b[1;38;2;9;9;9m日本語 café 🎉 \\x1b[31m\x1b[0m".encode(), BASELINE) == set()
    assert "CSI ?h" in shapes(BASELINE)
