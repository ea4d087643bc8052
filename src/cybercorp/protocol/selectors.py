"""Host selectors: which hosts a command, a query or a view means.

Words separated by blanks must all hold: a name or glob (`web-*`), a label (`env=prod`, `env!=prod`, globs allowed), a
state (`state=offline`), or a comparison of a summary value (`cpu>80`, per cent for ratios, bytes a second for rates).
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from cybercorp.core.errors import InvalidInputError

VALUES = {"cpu": 100.0, "mem": 100.0, "disk": 100.0, "net_rx": 1.0, "net_tx": 1.0, "load": 1.0}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_COMPARISON = re.compile(r"([a-z_]+)(>=|<=|>|<)(\d+(?:\.\d+)?)%?")
_LABEL = re.compile(r"([^=!<>\s]+?)(!?=)([^=!<>\s]*)")
MAX_LENGTH = 500
MAX_WORDS = 20


class _Word(msgspec.Struct, frozen=True, kw_only=True):
    """One condition: a name glob, a label or state glob, or a comparison."""

    glob: str = ""
    label: str = ""
    negated: bool = False
    value: str = ""
    comparison: str = ""
    threshold: float = 0.0

    def matches(self, name: str, labels: Mapping[str, str], state: str, values: Mapping[str, float | None]) -> bool:
        if self.value:
            known = values.get(self.value)
            return known is not None and _OPERATORS[self.comparison](known * VALUES[self.value], self.threshold)
        if self.label:
            held = state if self.label == "state" else labels.get(self.label, "")
            return fnmatch.fnmatchcase(held, self.glob) is not self.negated
        return fnmatch.fnmatchcase(name, self.glob)


class HostSelector(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed selector; the empty one matches every host."""

    words: tuple[_Word, ...] = ()

    @property
    def needs_values(self) -> bool:
        """True where a comparison needs the host's newest values."""
        return any(word.value for word in self.words)

    @property
    def plain_name(self) -> str | None:
        """The name of the only host that it can mean; None where it is more than a name."""
        if len(self.words) != 1 or not self.words[0].glob or self.words[0].label or self.words[0].value:
            return None
        glob = self.words[0].glob
        return None if any(sign in glob for sign in "*?[") else glob

    @property
    def needs_state(self) -> bool:
        """True where the host's state or newest values decide."""
        return any(word.value or word.label == "state" for word in self.words)

    def matches(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        *,
        state: str = "",
        values: Mapping[str, float | None] | None = None,
    ) -> bool:
        """Whether a host with these summary values (`cpu mem disk net_rx net_tx load`) is meant."""
        return all(word.matches(name, labels or {}, state, values or {}) for word in self.words)


def parse_host_selector(text: str | None) -> HostSelector:
    """Read a selector. None, the empty text and `*` mean all. Raises InvalidInputError."""
    words = (text or "").split()
    if len(text or "") > MAX_LENGTH or len(words) > MAX_WORDS:
        raise InvalidInputError("The host selector is too long.", hint="Use a glob or a label instead of many names.")
    return HostSelector(words=tuple(_parse_word(word) for word in words if word != "*"))


def _parse_word(word: str) -> _Word:
    comparison = _COMPARISON.fullmatch(word)
    if comparison:
        if comparison.group(1) not in VALUES:
            raise InvalidInputError(
                f"'{comparison.group(1)}' cannot be compared.", hint=f"Compare one of: {', '.join(VALUES)}."
            )
        return _Word(value=comparison.group(1), comparison=comparison.group(2), threshold=float(comparison.group(3)))
    label = _LABEL.fullmatch(word)
    if label:
        return _Word(label=label.group(1), negated=label.group(2) == "!=", glob=label.group(3))
    if any(sign in word for sign in "<>=!"):
        raise InvalidInputError(
            f"'{word[:80]}' is not a host selector.", hint="Write a name, a glob (web-*), a label (env=prod) or cpu>80."
        )
    return _Word(glob=word)
