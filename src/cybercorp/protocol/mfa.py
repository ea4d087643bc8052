"""Second factors: time-based codes (TOTP, RFC 6238), recovery codes, passkeys (WebAuthn)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class FactorKind(StrEnum):
    TOTP = "totp"
    RECOVERY = "recovery"
    PASSKEY = "passkey"


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A factor that is set up; of recovery codes one row a code."""

    id: str
    kind: FactorKind
    name: str
    created_at_ms: int
    used_at_ms: int | None = None


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What the user has; recovery codes are only counted."""

    factors: list[Factor]
    recovery_codes_left: int


class NewFactor(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""


class TotpSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Shown once: `uri` (otpauth://) is what the QR code holds, `secret` the same for typing."""

    factor_id: str
    uri: str
    secret: str

    def __repr__(self) -> str:
        return f"TotpSetup(factor_id={self.factor_id!r})"


class TotpConfirmation(msgspec.Struct, frozen=True, kw_only=True):
    """The first code shows that the app holds the secret."""

    code: str


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Shown once; each is good once. Empty where there are unused ones already."""

    codes: list[str]

    def __repr__(self) -> str:
        return "RecoveryCodes()"
