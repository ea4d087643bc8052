"""Passkeys (WebAuthn): a ceremony that a terminal begins, a page in the browser performs and a code brings back.

The terminal holds `ticket` and `secret`, the browser only `ticket`. What the browser did counts once the terminal sends
the code that the page shows: whoever was sent a stranger's link gives him nothing by following it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from cybercorp.protocol.logins import ClientType


class CeremonyKind(StrEnum):
    """What it is for: a log-in, to prove again who somebody is, to set a passkey up."""

    LOGIN = "login"
    STEP_UP = "step_up"
    REGISTRATION = "registration"


class PasskeyLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The passkey says who it is."""

    client: ClientType = ClientType.LIBRARY


class Ceremony(msgspec.Struct, frozen=True, kw_only=True):
    """Open `/passkey#<ticket>` of the server in a browser within `expires_in_s` seconds; `secret` stays here."""

    ticket: str
    secret: str
    expires_in_s: int

    def __repr__(self) -> str:
        return "Ceremony()"


class CeremonyCode(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal's part of the end: `code` is what the page shows."""

    ticket: str
    secret: str
    code: str

    def __repr__(self) -> str:
        return "CeremonyCode()"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """The browser's part of a ceremony."""

    ticket: str

    def __repr__(self) -> str:
        return "Ticket()"


class PasskeyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows, and what it gives to `navigator.credentials` (`options`, the JSON of WebAuthn Level 3).

    `user` is empty for a log-in; `network` is where the terminal is.
    """

    kind: CeremonyKind
    user: str
    network: str
    expires_in_s: int
    options: dict[str, Any]


class PasskeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the authenticator said: the JSON of a `PublicKeyCredential` (WebAuthn Level 3)."""

    ticket: str
    credential: dict[str, Any]

    def __repr__(self) -> str:
        return "PasskeyAnswer()"


class PasskeyCode(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows for the terminal."""

    code: str

    def __repr__(self) -> str:
        return "PasskeyCode()"
