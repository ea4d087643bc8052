"""Passkeys: set up, logged in with, and used to prove again who somebody is, all by a ceremony in the browser."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from cybercorp.core.errors import CyberCorpError, StorageCorruptError, UnauthenticatedError
from cybercorp.protocol.audit import Decision
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.protocol.mfa import FactorKind, RecoveryCodes
from cybercorp.protocol.passkeys import (
    Ceremony,
    CeremonyCode,
    CeremonyKind,
    PasskeyAnswer,
    PasskeyCode,
    PasskeyLogin,
    PasskeyOptions,
)
from cybercorp.protocol.users import UserKind
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.authenticators import (
    CHALLENGE_BYTES,
    Passkey,
    assertion_options,
    check_assertion,
    check_registration,
    claimed_user,
    registration_options,
    site_of,
    wrong_passkey,
)
from cybercorp.server.services.ceremonies import Ceremonies, Content, Open, ceremony_over, new_code
from cybercorp.server.services.limits import Limiter, Rule
from cybercorp.server.services.mfa import MfaService
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.sessions import SessionService
from cybercorp.store.records.factors import FactorRow
from cybercorp.store.records.users import UserRepository, UserRow

BEGUN = Rule("passkey.begin", 30, 300, "passkey log-ins from this network")
ANSWERED = Rule("passkey.answer", 60, 300, "uses of the passkey page from this network")


class PasskeyService:
    def __init__(
        self,
        ceremonies: Ceremonies,
        users: UserRepository,
        mfa: MfaService,
        sessions: SessionService,
        limits: Limiter,
        audit: AuditService,
    ) -> None:
        self._ceremonies = ceremonies
        self._users = users
        self._mfa = mfa
        self._sessions = sessions
        self._limits = limits
        self._audit = audit

    async def begin_login(self, request: PasskeyLogin, network: str) -> Ceremony:
        """For whoever the passkey will say. Raises RateLimitedError."""
        await self._limits.take(BEGUN, network)
        content = Content(secret_hash="", network=network, client=request.client)
        return await self._ceremonies.begin(CeremonyKind.LOGIN, content)

    async def begin_step_up(self, principal: Principal) -> Ceremony:
        """With one of their own passkeys. Raises as `begin_login` does."""
        return await self._begin(principal, CeremonyKind.STEP_UP)

    async def begin_registration(self, principal: Principal, name: str) -> Ceremony:
        """A new passkey. Raises ConflictError where there are too many factors."""
        await self._mfa.check_room(principal.person())
        return await self._begin(principal, CeremonyKind.REGISTRATION, name)

    async def options(self, ticket: str, origin: str | None, network: str) -> PasskeyOptions:
        """What the page needs, with a challenge of its own each time.

        Raises NotFoundError (`ceremony_over`), ConflictError, InvalidInputError (`passkey_site`), RateLimitedError.
        """
        await self._limits.take(ANSWERED, network)
        ceremony = await self._ceremonies.find(ticket)
        content, site, left = ceremony.content, site_of(origin), self._ceremonies.seconds_left(ceremony)
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        known = [passkey for _, passkey in await self._passkeys(content.user_id) if passkey.rp_id == site.rp_id]
        options: dict[str, Any]
        if ceremony.kind is CeremonyKind.REGISTRATION:
            options = registration_options(site, challenge, content.user_id, content.user_name, known, left)
        else:
            options = assertion_options(site, challenge, known, left)
        await self._ceremonies.change(ceremony, msgspec.structs.replace(content, challenge=challenge, site=site))
        return PasskeyOptions(
            kind=ceremony.kind, user=content.user_name, network=content.network, expires_in_s=left, options=options
        )

    async def answer(self, sent: PasskeyAnswer, network: str) -> PasskeyCode:
        """What the authenticator said, checked; the code is for the terminal.

        Raises as `options` does, UnauthenticatedError (`wrong_passkey`), InvalidInputError (`passkey_refused`).
        """
        await self._limits.take(ANSWERED, network)
        ceremony = await self._ceremonies.find(sent.ticket)
        if ceremony.content.site is None or ceremony.content.code:
            raise ceremony_over()
        try:
            if ceremony.kind is CeremonyKind.REGISTRATION:
                proven = self._registered(ceremony, sent)
            else:
                proven = await self._asserted(ceremony, sent)
        except UnauthenticatedError as error:
            await self._refuse(ceremony, network, error)
            raise
        code = new_code()
        await self._ceremonies.change(ceremony, msgspec.structs.replace(proven, code=code, challenge=b""))
        return PasskeyCode(code=code)

    async def finish_login(self, sent: CeremonyCode, network: str, user_agent: str) -> Tokens:
        """The session. Raises NotFoundError (`ceremony_over`), InvalidInputError (`wrong_code`), RateLimitedError."""
        proven = await self._ceremonies.end(sent, CeremonyKind.LOGIN)
        user = await self._person(proven.user_id)
        if user is None or not await self._still_has(user, proven):
            raise wrong_passkey()
        await self._audit.record(
            "login.passkey",
            actor_name=user.name,
            target_kind="user",
            target_id=user.id,
            target=user.name,
            network=network,
            detail={"client": proven.client, "factors": FactorKind.PASSKEY},
        )
        factors = frozenset({str(FactorKind.PASSKEY)})
        return await self._sessions.begin(user, ClientType(proven.client), network, user_agent, factors)

    async def finish_step_up(self, principal: Principal, sent: CeremonyCode) -> None:
        """Holds five minutes. Raises as `finish_login` does."""
        proven = await self._ceremonies.end(sent, CeremonyKind.STEP_UP, principal.session_id)
        if proven.user_id != principal.person():
            raise wrong_passkey()
        await self._audit.record("login.step_up", actor=principal, target_kind="user", target=principal.name)
        await self._sessions.step_up(principal.session_id, principal.factors | {str(FactorKind.PASSKEY)})

    async def finish_registration(self, principal: Principal, sent: CeremonyCode) -> RecoveryCodes:
        """It counts from now on. Raises as `finish_login` does."""
        made = await self._ceremonies.end(sent, CeremonyKind.REGISTRATION, principal.session_id)
        if made.passkey is None or made.user_id != principal.person():
            raise ceremony_over()
        return await self._mfa.add_passkey(principal, made.name, msgspec.msgpack.encode(made.passkey), made.counter)

    async def _begin(self, principal: Principal, kind: CeremonyKind, name: str = "") -> Ceremony:
        user_id = principal.person()
        await self._limits.take(BEGUN, principal.network, user_id)
        return await self._ceremonies.begin(
            kind,
            Content(
                secret_hash="",
                network=principal.network,
                session_id=principal.session_id,
                user_id=user_id,
                user_name=principal.name,
                name=name[:64],
            ),
        )

    def _registered(self, ceremony: Open, sent: PasskeyAnswer) -> Content:
        content = ceremony.content
        if content.site is None:
            raise ceremony_over()
        passkey, counter = check_registration(sent.credential, content.site, content.challenge)
        return msgspec.structs.replace(content, passkey=passkey, counter=counter)

    async def _asserted(self, ceremony: Open, sent: PasskeyAnswer) -> Content:
        content = ceremony.content
        claimed, credential_id = claimed_user(sent.credential)
        # An authenticator that was told which passkeys are good need not say whose they are.
        user_id = content.user_id or claimed
        if content.site is None or not user_id or (claimed and claimed != user_id):
            raise wrong_passkey()
        user = await self._person(user_id)
        for row, passkey in await self._passkeys(user_id) if user else ():
            if passkey.credential_id == credential_id and passkey.rp_id == content.site.rp_id:
                count = check_assertion(sent.credential, content.site, content.challenge, passkey, row.last_step or 0)
                if not await self._mfa.take_passkey(row.id, count):
                    raise wrong_passkey()
                return msgspec.structs.replace(content, user_id=user_id, factor_id=row.id)
        raise wrong_passkey()

    async def _passkeys(self, user_id: str) -> list[tuple[FactorRow, Passkey]]:
        kept = await self._mfa.passkeys(user_id) if user_id else []
        try:
            return [(row, msgspec.msgpack.decode(plain, type=Passkey)) for row, plain in kept]
        except UNREADABLE as error:
            raise StorageCorruptError(
                "A passkey in the records cannot be read.", hint="Restore a backup, or remove it: cybercorp mfa."
            ) from error

    async def _person(self, user_id: str) -> UserRow | None:
        user = await self._users.find(user_id)
        fits = user is not None and user.id == user_id and not user.disabled_at_ms and user.kind == UserKind.PERSON
        return user if fits else None

    async def _still_has(self, user: UserRow, proven: Content) -> bool:
        return any(row.id == proven.factor_id for row, _ in await self._mfa.passkeys(user.id))

    async def _refuse(self, ceremony: Open, network: str, error: CyberCorpError) -> None:
        await self._audit.record(
            "login.step_up" if ceremony.kind is CeremonyKind.STEP_UP else "login.passkey",
            actor_name=ceremony.content.user_name,
            decision=Decision.REFUSED,
            network=network,
            target_kind="user",
            target=ceremony.content.user_name,
            detail={"error": error.error_code},
        )
