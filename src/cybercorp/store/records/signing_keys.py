"""The table of signing keys (Ed25519, RFC 8032), by what they sign; the private halves are sealed."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.security.vault import Vault
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import SIGNING_KEYS


class Purpose(StrEnum):
    """What a key signs: access tokens, the audit's checkpoints, what the server tells agents."""

    ACCESS = "access"
    AUDIT = "audit"
    SERVER = "server"


class SigningKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair, 32 raw bytes each. It signs until `retires_at_ms`, is believed until `retired_at_ms`.

    A retired key has no private half any more.
    """

    id: str
    purpose: str
    public_key: bytes
    created_at_ms: int
    private_key: bytes = msgspec.field(default=b"")
    retires_at_ms: int | None = None
    retired_at_ms: int | None = None

    def __repr__(self) -> str:
        return f"SigningKeyRow(id={self.id!r}, purpose={self.purpose!r})"


class SigningKeyRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, row: SigningKeyRow, vault: Vault) -> None:
        """Keep a new key. Raises ConflictError where its id is known."""
        private = vault.seal(row.private_key, table="signing_keys", column="private_key", row=row.id)
        values = {**msgspec.structs.asdict(row), "public_key": row.public_key.hex(), "private_key": private}
        try:
            async with self._connections.writing() as connection:
                await connection.execute(SIGNING_KEYS.insert().values(values))
        except IntegrityError as error:
            raise ConflictError("This signing key exists already.", hint="Try again.") from error

    async def list_(self, purpose: Purpose, vault: Vault) -> list[SigningKeyRow]:
        """All keys of a purpose, newest first. Raises StorageCorruptError where one does not open."""
        statement = select(SIGNING_KEYS).where(SIGNING_KEYS.c.purpose == purpose)
        statement = statement.order_by(SIGNING_KEYS.c.created_at_ms.desc(), SIGNING_KEYS.c.id)
        async with self._connections.reading() as connection:
            found = (await connection.execute(statement)).mappings().all()
        return [_row({**row}, vault) for row in found]

    async def let_retire(self, id: str, retires_at_ms: int) -> None:
        """It signs until then."""
        await self._update(id, retires_at_ms=retires_at_ms)

    async def retire(self, id: str, at_ms: int) -> None:
        """It is not believed any more, and its private half is forgotten."""
        await self._update(id, retired_at_ms=at_ms, private_key="")

    async def _update(self, id: str, **values: object) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(update(SIGNING_KEYS).where(SIGNING_KEYS.c.id == id).values(values))


def _row(row: dict[str, object], vault: Vault) -> SigningKeyRow:
    sealed, place = str(row["private_key"]), str(row["id"])
    private = vault.open(sealed, table="signing_keys", column="private_key", row=place) if sealed else b""
    made = {**row, "public_key": bytes.fromhex(str(row["public_key"])), "private_key": private}
    return msgspec.convert({str(key): value for key, value in made.items()}, SigningKeyRow)
