"""Log-in: name and password, then a second factor where there is one; and proving it again before what is dangerous.

Whoever is unknown, disabled or wrong gets the same answer after the same work. Failures are counted by account and
network together, by network, and by account over all networks that have never been logged in from: guessing from
elsewhere locks nobody out of where they usually are.
"""

from __future__ import annotations

from cybercorp.core.errors import CyberCorpError, InvalidInputError, UnauthenticatedError
from cybercorp.protocol.audit import Decision
from cybercorp.protocol.logins import Login, PasswordChange, StepUp, Tokens
from cybercorp.protocol.mfa import FactorKind
from cybercorp.protocol.users import UserKind, check_user_name
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.limits import Limiter, Rule
from cybercorp.server.services.mfa import CODE, MfaService
from cybercorp.server.services.passwords import Passwords, check_password
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.sessions import SessionService
from cybercorp.server.services.users import UserService
from cybercorp.store.records.users import UserRepository, UserRow

PASSWORD_FACTOR = "pwd"  # noqa: S105 - the word of RFC 8176
HERE = Rule("login.here", 10, 900, "failed log-ins of this account from this network")
ELSEWHERE = Rule("login.elsewhere", 30, 3600, "failed log-ins of this account from networks it was never used from")
NETWORK = Rule("login.network", 100, 900, "failed log-ins from this network")


class LoginService:
    def __init__(
        self,
        users: UserRepository,
        accounts: UserService,
        sessions: SessionService,
        passwords: Passwords,
        mfa: MfaService,
        limits: Limiter,
        audit: AuditService,
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._mfa = mfa
        self._limits = limits
        self._audit = audit

    async def login(self, request: Login, network: str, user_agent: str) -> Tokens:
        """Begin a session. Raises UnauthenticatedError (`wrong_credentials`, `mfa_needed`, `wrong_code`) and
        RateLimitedError.
        """
        try:
            name = check_user_name(request.name)
        except InvalidInputError:
            name = ""
        try:
            user, factors = await self._prove(name, request.password, request.code, network)
        except UnauthenticatedError as error:  # what is over a limit is noted by AuditTrail, as a number
            if error.error_code != "mfa_needed":
                await self._note("login.password", name or request.name, network, error)
            raise
        await self._audit.record(
            "login.password",
            actor_name=user.name,
            target_kind="user",
            target_id=user.id,
            target=user.name,
            network=network,
            detail={"client": str(request.client), "factors": " ".join(sorted(factors))},
        )
        return await self._sessions.begin(user, request.client, network, user_agent, factors)

    async def step_up(self, principal: Principal, request: StepUp) -> None:
        """Prove again who this is; holds five minutes. Raises as `login` does."""
        user = await self._own(principal)
        try:
            _, factors = await self._prove(user.name, request.password, request.code, principal.network)
        except UnauthenticatedError as error:  # what is over a limit is noted by AuditTrail, as a number
            if error.error_code != "mfa_needed":
                await self._note("login.step_up", user.name, principal.network, error)
            raise
        await self._audit.record("login.step_up", actor=principal, target_kind="user", target=user.name)
        await self._sessions.step_up(principal.session_id, factors | principal.factors)

    async def change_password(self, principal: Principal, request: PasswordChange) -> None:
        """One's own; ends all other sessions. Raises as `login` does, and InvalidInputError (`weak_password`)."""
        user = await self._own(principal)
        check_password(request.new_password, user.name)
        await self._prove(user.name, request.old_password, request.code, principal.network)
        async with self._audit.intend("user.password", actor=principal, target_kind="user", target=user.name):
            await self._accounts.set_password(user, request.new_password)
            await self._sessions.end("the password was changed", user_id=user.id, but=principal.session_id)

    async def logout(self, principal: Principal) -> None:
        """End one's own session."""
        principal.person()
        await self._audit.record("session.logout", actor=principal, target_kind="session", target=principal.session_id)
        await self._sessions.end("logged out", id=principal.session_id)

    async def _prove(self, name: str, password: str, code: str | None, network: str) -> tuple[UserRow, frozenset[str]]:
        user = await self._users.find(name) if name else None
        if user is not None and (user.disabled_at_ms or user.name != name or user.kind != UserKind.PERSON):
            user = None
        known = await self._sessions.knows_network(user.id if user else "", network)
        await self._count(name, network, known=known)
        right = await self._passwords.verify(user.password_hash if user else None, password, stranger=not known)
        if user is None or not right:
            raise UnauthenticatedError(
                "The name or the password is wrong.",
                hint="Check both; passwords are told apart by case.",
                code="wrong_credentials",
            )
        if user.password_hash and self._passwords.needs_rehash(user.password_hash):
            user = await self._accounts.set_password(user, password)
        kinds = await self._mfa.kinds(user.id)
        if not kinds:
            await self._limits.clear(HERE, name, network)
            return user, frozenset({PASSWORD_FACTOR})
        if not code:
            raise UnauthenticatedError(
                "A second factor is needed.",
                hint="Give a code of the authenticator app, or a recovery code."
                if FactorKind.TOTP in kinds
                else "Log in with your passkey (cybercorp login --passkey), or give a recovery code.",
                code="mfa_needed",
            )
        await self._limits.take(CODE, user.id)
        proven = await self._mfa.check_code(user.id, code)
        if proven is None:
            raise UnauthenticatedError(
                "This code is not right, or was used before.", hint="Wait for the next one.", code="wrong_code"
            )
        await self._limits.clear(CODE, user.id)
        await self._limits.clear(HERE, name, network)
        factor = "totp" if proven == FactorKind.RECOVERY else str(proven)
        return user, frozenset({PASSWORD_FACTOR, factor})

    async def _count(self, name: str, network: str, *, known: bool) -> None:
        """Counted beforehand, and forgotten with a success: also of many at once none too many are tried."""
        await self._limits.take(NETWORK, network)
        await self._limits.take(HERE, name, network)
        if not known:
            await self._limits.take(ELSEWHERE, name)

    async def _own(self, principal: Principal) -> UserRow:
        return await self._users.get(principal.person())

    async def _note(self, operation: str, name: str, network: str, error: CyberCorpError) -> None:
        await self._audit.record(
            operation,
            actor_name=name,
            decision=Decision.REFUSED,
            network=network,
            target_kind="user",
            target=name,
            detail={"error": error.error_code},
        )
