"""People and service accounts."""

from __future__ import annotations

import unicodedata
from enum import StrEnum

import msgspec

from cybercorp.core.errors import InvalidInputError

MAX_NAME = 64
MIN_PASSWORD = 12
MAX_PASSWORD = 128


class UserKind(StrEnum):
    """A person logs in; a service account only has tokens."""

    PERSON = "person"
    SERVICE = "service"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """`factors` are the kinds of second factors that are set up. Times are Unix milliseconds."""

    id: str
    name: str
    display_name: str
    kind: UserKind
    created_at_ms: int
    disabled_at_ms: int | None = None
    has_password: bool = False
    factors: list[str] = []
    roles: list[str] = []


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """Without a password a person cannot log in until an admin sets one. `role` is bound without a scope."""

    name: str
    display_name: str = ""
    kind: UserKind = UserKind.PERSON
    password: str | None = None
    role: str | None = None

    def __repr__(self) -> str:
        return f"NewUser(name={self.name!r})"


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is absent stays. A new password, or `disabled`, ends all sessions of the user."""

    display_name: str | None = None
    disabled: bool | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "UserChange()"


def check_user_name(name: str) -> str:
    """A name as it is stored: NFKC, lower case. Raises InvalidInputError."""
    made = unicodedata.normalize("NFKC", name).casefold().strip()
    right = 0 < len(made) <= MAX_NAME and made[0].isalnum() and all(one.isalnum() or one in "-_.@+" for one in made)
    if not right:
        raise InvalidInputError(
            f"'{name[:80]}' cannot be a user's name.",
            hint=f"Use up to {MAX_NAME} letters, digits, and - _ . @ + after the first.",
            code="invalid_name",
        )
    return made
