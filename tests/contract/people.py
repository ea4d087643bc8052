"""The services of people over record tables, wired as the server wires them, with cheap passwords."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyotp

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.logins import ClientType, Login, Tokens
from cybercorp.protocol.users import NewUser
from cybercorp.security.vault import Vault
from cybercorp.server.services.access_tokens import AccessTokens
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.ceremonies import Ceremonies
from cybercorp.server.services.limits import Limiter, MemoryCells
from cybercorp.server.services.logins import LoginService
from cybercorp.server.services.mfa import MfaService
from cybercorp.server.services.passkeys import PasskeyService
from cybercorp.server.services.passwords import Passwords
from cybercorp.server.services.policy import OWNER, Policy
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.server.services.sessions import SessionService
from cybercorp.server.services.users import UserService
from cybercorp.store.records.database import Records

LOCAL_OWNER = Principal(kind=PrincipalKind.OWNER, id="owner", name="the local owner", rights=OWNER)
PASSWORD = "four unrelated words"
HOME, AWAY = "192.0.2.1", "198.51.100.7"


class People(msgspec.Struct):
    """One instance."""

    clock: ManualClock
    passwords: Passwords
    audit: AuditService
    policy: Policy
    sessions: SessionService
    users: UserService
    mfa: MfaService
    logins: LoginService
    passkeys: PasskeyService

    async def login(self, name: str = "ada", password: str = PASSWORD, code: str | None = None) -> Tokens:
        """From home, by the command line."""
        request = Login(name=name, password=password, code=code, client=ClientType.CLI)
        return await self.logins.login(request, HOME, "cybercorp/test")

    async def principal(self, tokens: Tokens) -> Principal:
        return await self.sessions.authenticate(tokens.access_token, HOME)

    async def make(self, name: str = "ada", role: str | None = None) -> None:
        await self.users.create(LOCAL_OWNER, NewUser(name=name, password=PASSWORD, role=role))

    async def set_up_totp(self, tokens: Tokens) -> tuple[pyotp.TOTP, list[str]]:
        """An authenticator app, confirmed, and the recovery codes."""
        principal = await self.principal(tokens)
        setup = await self.mfa.begin_totp(principal, "phone")
        app = pyotp.TOTP(setup.secret)
        codes = await self.mfa.confirm_totp(principal, setup.factor_id, app.at(self.clock.now_ms() // 1000))
        return app, codes.codes


async def make_people(records: Records, vault: Vault, file: Path, clock: ManualClock | None = None) -> People:
    """Wire them; `file` is the second copy of the audit trail."""
    clock = clock or ManualClock()
    audit = AuditService(records.audit, records.signing_keys, vault, clock, file)
    policy, limits = Policy(records.roles, records.bindings, clock), Limiter(MemoryCells(clock))
    passwords = Passwords(memory_kib=64, passes=1, lanes=1)
    tokens = AccessTokens(records.signing_keys, vault, clock, records.epoch)
    sessions = SessionService(records.sessions, records.users, tokens, policy, audit, vault, clock)
    users = UserService(
        records.users, records.factors, records.bindings, records.api_tokens, sessions, passwords, policy, audit, clock
    )
    mfa = MfaService(records.factors, passwords, sessions, limits, audit, vault, clock)
    logins = LoginService(records.users, users, sessions, passwords, mfa, limits, audit)
    ceremonies = Ceremonies(records.ceremonies, limits, vault, clock)
    passkeys = PasskeyService(ceremonies, records.users, mfa, sessions, limits, audit)
    await policy.load()
    return People(clock, passwords, audit, policy, sessions, users, mfa, logins, passkeys)
