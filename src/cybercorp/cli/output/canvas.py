"""A grid of dots in braille (2 × 4 dots a character), or in plain characters where braille cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Unicode 10.8, braille patterns: rows × columns
_BLANK = 0x2800
DOTS_WIDE, DOTS_HIGH = 2, 4


class Canvas:
    """`columns` × `rows` characters; dots are addressed from the lower left, the origin of a plot.

    Every character remembers which series drew there last: that gives it its colour, and its letter without braille.
    """

    def __init__(self, columns: int, rows: int, *, braille: bool = True) -> None:
        self.columns = columns
        self.rows = rows
        self._braille = braille
        self._bits = [[0] * columns for _ in range(rows)]
        self._owners = [[-1] * columns for _ in range(rows)]

    @property
    def dots_wide(self) -> int:
        return self.columns * DOTS_WIDE

    @property
    def dots_high(self) -> int:
        return self.rows * DOTS_HIGH

    def dot(self, x: int, y: int, owner: int) -> None:
        """Set one dot; what lies outside is ignored."""
        if not (0 <= x < self.dots_wide and 0 <= y < self.dots_high):
            return
        column, row = x // DOTS_WIDE, self.rows - 1 - y // DOTS_HIGH
        self._bits[row][column] |= _DOTS[DOTS_HIGH - 1 - y % DOTS_HIGH][x % DOTS_WIDE]
        self._owners[row][column] = owner

    def line(self, x0: int, y0: int, x1: int, y1: int, owner: int) -> None:
        """A straight line between two dots (Bresenham)."""
        wide, high = abs(x1 - x0), -abs(y1 - y0)
        step_x, step_y = (1 if x0 < x1 else -1), (1 if y0 < y1 else -1)
        error = wide + high
        while True:
            self.dot(x0, y0, owner)
            if (x0, y0) == (x1, y1):
                return
            doubled = 2 * error
            if doubled >= high:
                error += high
                x0 += step_x
            if doubled <= wide:
                error += wide
                y0 += step_y

    def curve(self, heights: Sequence[float | None], owner: int, places: Sequence[float] | None = None) -> None:
        """Values from left to right, each 0–1 of the height; None leaves a gap.

        They are spread evenly over the whole width, or stand at `places`, 0–1 of it.
        """
        top = self.dots_high - 1
        count = len(heights)
        last: tuple[int, int] | None = None
        for index, height in enumerate(heights):
            if height is None:
                last = None
                continue
            share = index / max(count - 1, 1) if places is None else places[index]
            x = round(share * (self.dots_wide - 1))
            here = (x, round(min(max(height, 0.0), 1.0) * top))
            self.line(*(last or here), *here, owner)
            last = here

    def row(self, index: int) -> list[tuple[str, int]]:
        """One line from the top: its characters, each with the series that owns it (-1: nobody)."""
        return [
            (self._character(bits, owner), owner)
            for bits, owner in zip(self._bits[index], self._owners[index], strict=True)
        ]

    def _character(self, bits: int, owner: int) -> str:
        if not bits:
            return " "
        return chr(_BLANK + bits) if self._braille else mark(owner)


def mark(owner: int) -> str:
    """The letter of a series: colour is never the only signal."""
    return chr(ord("a") + owner % 26)
