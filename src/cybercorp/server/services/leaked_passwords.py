"""Passwords that leaked and are common: whoever guesses tries them first, so nobody may choose one. No network.

The file beside this one holds the first six bytes of the SHA-256 of each, sorted: of the million most common of Mark
Burnett's "ten million passwords", as the OWASP SecLists project hands them on (CC BY-SA 3.0), those that are long
enough for us, in small letters. `python -m scripts.make_leaked_passwords` makes it from such a list.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("leaked_passwords.bin")
_SIZE = 6


def is_leaked(folded: str) -> bool:
    """Whether a password (normalized, in small letters) is on the list. One in six billion others seems to be."""
    known = _known()
    wanted = digest(folded)
    at = bisect.bisect_left(range(len(known) // _SIZE), wanted, key=lambda place: _at(known, place))
    return _at(known, at) == wanted


def count() -> int:
    """How many are on the list."""
    return len(_known()) // _SIZE


def digest(folded: str) -> bytes:
    """What is kept of a password."""
    return hashlib.sha256(folded.encode("utf-8", "surrogatepass")).digest()[:_SIZE]


def _at(known: bytes, place: int) -> bytes:
    return known[_SIZE * place : _SIZE * (place + 1)]


@functools.cache
def _known() -> bytes:
    return FILE.read_bytes()
