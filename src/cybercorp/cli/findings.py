"""What `doctor` finds: made where this machine is examined, shown where it is asked for."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How one check went: `warning` works but may surprise, `failing` does not work."""

    OK = "ok"
    WARNING = "warning"
    FAILING = "failing"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, what to do."""

    check: str
    verdict: Verdict
    found: str
    hint: str = ""
