"""Second factors: TOTP (RFC 6238) with each step good once, recovery codes with each good once."""

from __future__ import annotations

import base64
import hmac
import secrets

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, InvalidInputError, NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.mfa import Factor, FactorKind, Factors, RecoveryCodes, TotpSetup
from cybercorp.security.codes import random_letters
from cybercorp.security.vault import Vault
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.limits import Limiter, Rule
from cybercorp.server.services.passwords import Passwords
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.sessions import SessionService
from cybercorp.store.records.factors import FactorRepository, FactorRow

STEP_S = 30
RECOVERY_CODES = 10
MAX_FACTORS = 10
ISSUER = "CyberCorp"
CODE = Rule("login.code", 5, 300, "wrong codes for this account")


class MfaService:
    def __init__(
        self,
        factors: FactorRepository,
        passwords: Passwords,
        sessions: SessionService,
        limits: Limiter,
        audit: AuditService,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._factors = factors
        self._passwords = passwords
        self._sessions = sessions
        self._limits = limits
        self._audit = audit
        self._vault = vault
        self._clock = clock

    async def list_(self, user_id: str) -> Factors:
        """What a user has set up."""
        rows = await self._factors.list_(user_id)
        shown = [_factor(row) for row in rows if row.kind != FactorKind.RECOVERY]
        left = sum(row.kind == FactorKind.RECOVERY and row.used_at_ms is None for row in rows)
        return Factors(factors=shown, recovery_codes_left=left)

    async def kinds(self, user_id: str) -> set[str]:
        """The kinds of factors that a log-in must show one of; recovery codes only stand in for these."""
        found = {row.kind for row in await self._factors.list_(user_id)}
        return found - {FactorKind.RECOVERY}

    async def begin_totp(self, principal: Principal, name: str) -> TotpSetup:
        """A new secret, which counts once `confirm_totp` has seen a code of it. Raises ConflictError."""
        import pyotp

        user_id = principal.person()
        rows = await self._factors.list_(user_id, unconfirmed=True)
        if sum(row.kind != FactorKind.RECOVERY for row in rows) >= MAX_FACTORS:
            for row in rows:
                if row.confirmed_at_ms is None:
                    await self._factors.remove(user_id, id=row.id)
            await self.check_room(user_id)
        factor_id, raw = new_id("factor"), secrets.token_bytes(20)
        secret = base64.b32encode(raw).decode("ascii")
        sealed = self._vault.seal(raw, table="factors", column="secret", row=factor_id)
        await self._factors.add(
            [
                FactorRow(
                    id=factor_id,
                    user_id=user_id,
                    kind=FactorKind.TOTP,
                    name=name[:64] or "authenticator",
                    secret=sealed,
                    created_at_ms=self._clock.now_ms(),
                )
            ]
        )
        uri = pyotp.TOTP(secret).provisioning_uri(name=principal.name, issuer_name=ISSUER)
        return TotpSetup(factor_id=factor_id, uri=uri, secret=secret)

    async def confirm_totp(self, principal: Principal, factor_id: str, code: str) -> RecoveryCodes:
        """The factor counts from now on; with the first one come recovery codes. Raises InvalidInputError."""
        user_id = principal.person()
        row = await self._factors.find(factor_id)
        if row is None or row.user_id != user_id or row.kind != FactorKind.TOTP:
            raise _unknown_factor()
        await self._limits.take(CODE, user_id)
        step = self._matching_step(row, code)
        if step is not None:
            await self._note("mfa.add", principal, row)
        if step is None or not await self._factors.confirm(row.id, step, self._clock.now_ms()):
            raise InvalidInputError(
                "This code is not right.",
                hint="Type the six digits that the app shows now; check that the clocks of both agree.",
                code="wrong_code",
            )
        await self._limits.clear(CODE, user_id)
        return await self._added(principal, FactorKind.TOTP)

    async def check_room(self, user_id: str) -> None:
        """Raises ConflictError where there are as many factors as there may be."""
        rows = await self._factors.list_(user_id)
        if sum(row.kind != FactorKind.RECOVERY for row in rows) >= MAX_FACTORS:
            raise ConflictError(f"There are {MAX_FACTORS} factors already.", hint="Remove one: cybercorp mfa.")

    async def add_passkey(self, principal: Principal, name: str, secret: bytes, counter: int) -> RecoveryCodes:
        """A passkey that was proven; `secret` is what is kept of it. With the first factor come recovery codes."""
        user_id, now_ms = principal.person(), self._clock.now_ms()
        await self.check_room(user_id)
        factor_id = new_id("factor")
        row = FactorRow(
            id=factor_id,
            user_id=user_id,
            kind=FactorKind.PASSKEY,
            name=name[:64] or "passkey",
            secret=self._vault.seal(secret, table="factors", column="secret", row=factor_id),
            last_step=counter,
            created_at_ms=now_ms,
            confirmed_at_ms=now_ms,
        )
        await self._note("mfa.add", principal, row)
        await self._factors.add([row])
        return await self._added(principal, FactorKind.PASSKEY)

    async def passkeys(self, user_id: str) -> list[tuple[FactorRow, bytes]]:
        """Those of a user, with what is kept of each."""
        rows = [row for row in await self._factors.list_(user_id) if row.kind == FactorKind.PASSKEY]
        return [(row, self._vault.open(row.secret, table="factors", column="secret", row=row.id)) for row in rows]

    async def take_passkey(self, factor_id: str, counter: int) -> bool:
        """Note its counter; False where it does not grow: there is a second one of it."""
        return await self._factors.take_count(factor_id, counter, self._clock.now_ms())

    async def _added(self, principal: Principal, kind: FactorKind) -> RecoveryCodes:
        """The session counts as begun with this factor."""
        user_id = principal.person()
        await self._sessions.step_up(principal.session_id, principal.factors | {kind})
        rows = await self._factors.list_(user_id)
        if any(one.kind == FactorKind.RECOVERY and one.used_at_ms is None for one in rows):
            return RecoveryCodes(codes=[])
        return await self._make_recovery_codes(user_id)

    async def new_recovery_codes(self, principal: Principal) -> RecoveryCodes:
        """Ten new ones; the ones before are worth nothing. Raises ConflictError where there is no other factor."""
        user_id = principal.person()
        if not await self.kinds(user_id):
            raise ConflictError("There is no second factor yet.", hint="Set one up: cybercorp mfa add.")
        await self._audit.record("mfa.recovery_codes", actor=principal, target_kind="user", target=principal.name)
        return await self._make_recovery_codes(user_id)

    async def _make_recovery_codes(self, user_id: str) -> RecoveryCodes:
        rows, codes = [], []
        for number in range(RECOVERY_CODES):
            secret = "-".join(random_letters(5) for _ in range(3))
            codes.append(f"{number}{secret}")
            rows.append(
                FactorRow(
                    id=new_id("factor"),
                    user_id=user_id,
                    kind=FactorKind.RECOVERY,
                    name=str(number),
                    secret=await self._passwords.hash(codes[-1]),
                    created_at_ms=self._clock.now_ms(),
                    confirmed_at_ms=self._clock.now_ms(),
                )
            )
        await self._factors.replace(user_id, FactorKind.RECOVERY, rows)
        return RecoveryCodes(codes=codes)

    async def check_code(self, user_id: str, code: str) -> str | None:
        """The kind of factor that this code proves, which uses it up; None where it proves nothing."""
        typed = code.strip().replace(" ", "").lower()
        rows = await self._factors.list_(user_id)
        if typed.isascii() and typed.isdigit() and len(typed) == 6:
            for row in rows:
                if row.kind == FactorKind.TOTP:
                    step = self._matching_step(row, typed)
                    if step is not None and await self._factors.take_step(row.id, step, self._clock.now_ms()):
                        return FactorKind.TOTP
            return None
        for row in rows:  # the first character says which one it is: one hash to compute, not ten
            if row.kind == FactorKind.RECOVERY and row.used_at_ms is None and typed[:1] == row.name:
                right = await self._passwords.verify(row.secret, typed)
                return (
                    FactorKind.RECOVERY
                    if right and await self._factors.take_once(row.id, self._clock.now_ms())
                    else None
                )
        return None

    async def remove(self, principal: Principal, factor_id: str) -> None:
        """Raises NotFoundError (`factor_not_found`). With the last real factor the recovery codes go as well.

        All other sessions end: whoever removes a factor may have lost it to somebody.
        """
        user_id = principal.person()
        row = await self._factors.find(factor_id)
        if row is None or row.user_id != user_id or row.kind == FactorKind.RECOVERY:
            raise _unknown_factor()
        await self._note("mfa.remove", principal, row)
        if not await self._factors.remove(user_id, id=factor_id):
            raise _unknown_factor()
        if not any(row.kind != FactorKind.RECOVERY for row in await self._factors.list_(user_id)):
            await self._factors.remove(user_id, kind=FactorKind.RECOVERY)
        await self._sessions.end("a second factor was removed", user_id=user_id, but=principal.session_id)

    async def _note(self, operation: str, principal: Principal, row: FactorRow) -> None:
        await self._audit.record(
            operation,
            actor=principal,
            target_kind="factor",
            target_id=row.id,
            target=principal.name,
            detail={"kind": row.kind, "name": row.name},
        )

    def _matching_step(self, row: FactorRow, code: str) -> int | None:
        """This step or the one before, compared in constant time."""
        import pyotp

        raw = self._vault.open(row.secret, table="factors", column="secret", row=row.id)
        totp = pyotp.TOTP(base64.b32encode(raw).decode("ascii"))
        typed = code.strip().replace(" ", "")
        now = self._clock.now_ms() // 1000 // STEP_S
        for step in (now, now - 1):
            if hmac.compare_digest(totp.at(step * STEP_S).encode(), typed.encode("utf-8", "replace")):
                return step
        return None


def _factor(row: FactorRow) -> Factor:
    return Factor(
        id=row.id,
        kind=FactorKind(row.kind),
        name=row.name,
        created_at_ms=row.created_at_ms,
        used_at_ms=row.used_at_ms,
    )


def _unknown_factor() -> NotFoundError:
    return NotFoundError("There is no such factor.", hint="List them: cybercorp mfa.", code="factor_not_found")
