"""Random letters that a person reads in one place and types in another."""

from __future__ import annotations

import secrets

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is mistaken for something else


def random_letters(count: int) -> str:
    """So many of them; each is five bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(count))
