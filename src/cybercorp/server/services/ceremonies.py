"""Ceremonies: begun by a terminal, answered once by a browser, ended once by the terminal with the code shown there."""

from __future__ import annotations

import hmac

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, InvalidInputError, NotFoundError, RateLimitedError
from cybercorp.protocol.passkeys import Ceremony, CeremonyCode, CeremonyKind
from cybercorp.security.codes import random_letters
from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind
from cybercorp.security.vault import Vault
from cybercorp.server.services.authenticators import Passkey, Site
from cybercorp.server.services.limits import Limiter, Rule
from cybercorp.store.records.ceremonies import CeremonyRepository, CeremonyRow

LIFE_S = 300
MOST = 10_000
CODE_LETTERS = 8
CODES = Rule("passkey.code", 5, LIFE_S, "wrong codes for this passkey ceremony")


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a ceremony. `code` is set once the browser answered, and with it who or what it proved."""

    secret_hash: str
    network: str
    session_id: str = ""
    user_id: str = ""
    user_name: str = ""
    name: str = ""
    client: str = ""
    challenge: bytes = b""
    site: Site | None = None
    code: str = ""
    factor_id: str = ""
    passkey: Passkey | None = None
    counter: int = 0


class Open(msgspec.Struct, frozen=True):
    """A ceremony that is not over."""

    row: CeremonyRow
    content: Content

    @property
    def kind(self) -> CeremonyKind:
        return CeremonyKind(self.row.kind)


class Ceremonies:
    def __init__(self, ceremonies: CeremonyRepository, limits: Limiter, vault: Vault, clock: Clock) -> None:
        self._ceremonies = ceremonies
        self._limits = limits
        self._vault = vault
        self._clock = clock

    async def begin(self, kind: CeremonyKind, content: Content) -> Ceremony:
        """A new one; `content` lacks its secret. Raises RateLimitedError where strangers have begun too many."""
        now_ms = self._clock.now_ms()
        await self._ceremonies.purge(now_ms)
        if kind is CeremonyKind.LOGIN and await self._ceremonies.count(kind) >= MOST:
            raise RateLimitedError("Too many passkey log-ins are open.", retry_after_s=LIFE_S)
        ticket, secret = new_token(TokenKind.CEREMONY), new_token(TokenKind.CEREMONY)
        hashed = token_hash(ticket)
        kept = msgspec.structs.replace(content, secret_hash=token_hash(secret))
        await self._ceremonies.create(
            CeremonyRow(
                hash=hashed,
                kind=kind,
                user_id=content.user_id or None,
                content=self._seal(kept, hashed),
                created_at_ms=now_ms,
                expires_at_ms=now_ms + LIFE_S * 1000,
            )
        )
        return Ceremony(ticket=ticket, secret=secret, expires_in_s=LIFE_S)

    async def find(self, ticket: str) -> Open:
        """Raises NotFoundError (`ceremony_over`)."""
        row = await self._ceremonies.find(token_hash(ticket)) if token_kind(ticket) is TokenKind.CEREMONY else None
        if row is None or row.used_at_ms is not None or row.expires_at_ms <= self._clock.now_ms():
            raise ceremony_over()
        plain = self._vault.open(row.content, table="ceremonies", column="content", row=row.hash)
        return Open(row, msgspec.msgpack.decode(plain, type=Content))

    def seconds_left(self, ceremony: Open) -> int:
        return max(0, (ceremony.row.expires_at_ms - self._clock.now_ms()) // 1000)

    async def change(self, ceremony: Open, content: Content) -> None:
        """Raises ConflictError (`ceremony_answered`) where it was answered, or changed meanwhile."""
        if ceremony.content.code or not await self._ceremonies.change(
            ceremony.row, self._seal(content, ceremony.row.hash)
        ):
            raise ConflictError(
                "This was answered before, on another page.",
                hint="Use the code of that page, or begin again in the terminal.",
                code="ceremony_answered",
            )

    async def end(self, sent: CeremonyCode, kind: CeremonyKind, session_id: str = "") -> Content:
        """What the browser proved, once. Raises NotFoundError (`ceremony_over`), InvalidInputError (`wrong_code`)."""
        ceremony = await self.find(sent.ticket)
        content = ceremony.content
        own = hmac.compare_digest(content.secret_hash.encode(), token_hash(sent.secret).encode())
        if ceremony.kind is not kind or not own or content.session_id != session_id:
            raise ceremony_over()
        await self._limits.take(CODES, ceremony.row.hash)
        typed = "".join(one for one in sent.code[:64].lower() if one.isalnum())
        if not content.code or not hmac.compare_digest(content.code.encode(), typed.encode()):
            raise InvalidInputError(
                "This is not the code of the page.",
                hint="Type the eight letters that the browser shows once the passkey was used.",
                code="wrong_code",
            )
        if not await self._ceremonies.take(ceremony.row.hash, self._clock.now_ms()):
            raise ceremony_over()
        return content

    def _seal(self, content: Content, row: str) -> str:
        return self._vault.seal(msgspec.msgpack.encode(content), table="ceremonies", column="content", row=row)


def new_code() -> str:
    """Forty bits, for five tries in five minutes."""
    return random_letters(CODE_LETTERS)


def ceremony_over() -> NotFoundError:
    """For a ticket that is unknown, too old, used, or somebody else's."""
    return NotFoundError("This link is not good any more.", hint="Begin again in the terminal.", code="ceremony_over")
