"""Logging in: a password and a second factor become a session, a session's tokens are renewed."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cybercorp.protocol.users import User


class ClientType(StrEnum):
    """What logs in. A wallboard may stay for thirty days, and may only look."""

    CLI = "cli"
    TUI = "tui"
    WEB = "web"
    LIBRARY = "library"
    WALLBOARD = "wallboard"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is a TOTP code or a recovery code, where the user has set one up (problem `mfa_needed` asks for it)."""

    name: str
    password: str
    code: str | None = None
    client: ClientType = ClientType.LIBRARY

    def __repr__(self) -> str:
        return f"Login(name={self.name!r})"


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token is good once; its successor comes with the answer."""

    refresh_token: str

    def __repr__(self) -> str:
        return "Refresh()"


class StepUp(msgspec.Struct, frozen=True, kw_only=True):
    """Prove again who you are: the password, and a code where a second factor is set up."""

    password: str
    code: str | None = None

    def __repr__(self) -> str:
        return "StepUp()"


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True):
    """One's own password. It ends all other sessions."""

    old_password: str
    new_password: str
    code: str | None = None

    def __repr__(self) -> str:
        return "PasswordChange()"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`access_token` (a JWT, RFC 9068) goes into `Authorization: Bearer …` for `expires_in_s` seconds.

    `pins` and `authorities` (PEM) are those by which the server is known from now on.
    """

    access_token: str
    expires_in_s: int
    refresh_token: str
    session_id: str
    user: str
    pins: list[str] = []
    authorities: str = ""

    def __repr__(self) -> str:
        return f"Tokens(session_id={self.session_id!r})"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `kind` is `owner`, `user`, `service` or `agent`; `user` is None but for the second and third.

    `permissions` are those that hold for any host at all; `stepped_up_until_ms` is None where it was never done.
    """

    kind: str
    name: str
    user: User | None = None
    session_id: str | None = None
    factors: list[str] = []
    stepped_up_until_ms: int | None = None
    permissions: list[str] = []
