"""Reading a table of the kernel by position: where the numbers are is worked out once, then only checked.

A plan belongs to one shape of a table: so many tokens, with these names in these places. While the shape stays, reading
is a handful of calls into C; when a device comes or goes it no longer matches and a new plan is made from the text.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from operator import itemgetter, truediv


class TokenPlan:
    """Which tokens are names, which are values, and by what each value is divided."""

    __slots__ = ("_count", "_divisors", "_names", "_pick_names", "_pick_values", "_spare")

    def __init__(self, count: int, names: Mapping[int, bytes], values: Sequence[tuple[int, float]]) -> None:
        """`count` tokens; `names` by position; `values` are (position, divisor) in the order of the slots.

        Divisors, not factors: 31182/1000 is the number nearest to 31.182, 31182*0.001 is not, and stored rows of short
        decimals are much smaller."""
        self._count = count
        self._names = tuple(names.values())
        self._pick_names = itemgetter(*names) if names else None
        # A getter of one position returns the token, not a tuple of it: a second one is picked and left out.
        self._spare = len(values) == 1
        positions = [position for position, _ in values] * (2 if self._spare else 1)
        self._pick_values = itemgetter(*positions) if positions else None
        self._divisors = tuple(divisor for _, divisor in values)

    def __len__(self) -> int:
        return len(self._divisors)

    def matches(self, tokens: list[bytes]) -> bool:
        """True while the table has the shape that this plan was made for."""
        if len(tokens) != self._count:
            return False
        if self._pick_names is None:
            return True
        found = self._pick_names(tokens)
        return bool(found == (self._names if len(self._names) > 1 else self._names[0]))

    def read(self, tokens: list[bytes]) -> array[float]:
        """The values. Raises ValueError where a token is no number."""
        if self._pick_values is None:
            return array("d")
        return array("d", map(truediv, map(float, self._pick_values(tokens)), self._divisors))

    def write(self, tokens: list[bytes], values: array[float], start: int) -> None:
        """Put the values into their slots from `start`. Raises ValueError, with nothing written."""
        read = self.read(tokens)
        values[start : start + len(read)] = read


class TableReader:
    """Collects a plan while walking the lines of a table: `line` tells where the fields of each line are."""

    def __init__(self) -> None:
        self.count = 0
        self.names: dict[int, bytes] = {}

    def line(self, fields: Sequence[bytes], *name_fields: int) -> int:
        """Take in the next line, whose `name_fields` must stay as they are; the position of its first token."""
        first = self.count
        self.count += len(fields)
        for one in name_fields:
            self.names[first + one] = fields[one]
        return first
