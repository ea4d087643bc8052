"""The table of certificates: our own authorities, and the one that the server shows; private keys are sealed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.security.certificates import KeyPair
from cybercorp.security.vault import Vault
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import CERTIFICATES


class CertificateKind(StrEnum):
    AUTHORITY = "authority"
    LEAF = "leaf"


class CertificateState(StrEnum):
    """Of authorities one signs and one waits as the backup, whose pin is known everywhere already."""

    CURRENT = "current"
    BACKUP = "backup"
    RETIRED = "retired"


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate (PEM). A retired one has no private key any more."""

    id: str
    kind: str
    state: str
    certificate: str
    private_key: str
    pin: str
    not_before_ms: int
    not_after_ms: int
    created_at_ms: int

    @property
    def pair(self) -> KeyPair:
        return KeyPair(self.certificate, self.private_key)

    def __repr__(self) -> str:
        return f"CertificateRow(kind={self.kind!r}, state={self.state!r}, pin={self.pin!r})"


class CertificateRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self, vault: Vault) -> list[CertificateRow]:
        """All that are not retired, newest first. Raises StorageCorruptError where a key does not open."""
        statement = select(CERTIFICATES).where(CERTIFICATES.c.state != CertificateState.RETIRED)
        statement = statement.order_by(CERTIFICATES.c.created_at_ms.desc(), CERTIFICATES.c.id)
        async with self._connections.reading() as connection:
            found = (await connection.execute(statement)).mappings().all()
        return [_row(row, vault) for row in found]

    async def replace(
        self, rows: list[CertificateRow], vault: Vault, *, retired: list[str], promoted: str = ""
    ) -> None:
        """Keep new ones, retire others, make a backup the current one: all in one transaction.

        Raises ConflictError (`certificate_changed`), and changes nothing, where another instance was first.
        """
        try:
            await self._replace(rows, vault, retired, promoted)
        except IntegrityError as error:
            raise _changed() from error

    async def _replace(self, rows: list[CertificateRow], vault: Vault, retired: list[str], promoted: str) -> None:
        async with self._connections.writing() as connection:
            if retired:
                gone = update(CERTIFICATES).where(
                    CERTIFICATES.c.id.in_(retired), CERTIFICATES.c.state != CertificateState.RETIRED
                )
                done = await connection.execute(gone.values(state=CertificateState.RETIRED, private_key=""))
                if done.rowcount != len(retired):
                    raise _changed()
            if promoted:
                chosen = update(CERTIFICATES).where(
                    CERTIFICATES.c.id == promoted, CERTIFICATES.c.state == CertificateState.BACKUP
                )
                done = await connection.execute(chosen.values(state=CertificateState.CURRENT))
                if done.rowcount != 1:
                    raise _changed()
            for row in rows:
                sealed = vault.seal(row.private_key.encode(), **_place(row.id))
                values = {**msgspec.structs.asdict(row), "private_key": sealed}
                await connection.execute(CERTIFICATES.insert().values(values))


def _row(row: Any, vault: Vault) -> CertificateRow:
    values = {str(key): value for key, value in row.items()}
    opened = vault.open(values["private_key"], **_place(values["id"])).decode()
    return CertificateRow(**{**values, "private_key": opened})


def _changed() -> ConflictError:
    return ConflictError(
        "Another instance has just made the certificate anew.",
        hint="Look at it (cybercorp server certificate), then try again if it is still to be done.",
        code="certificate_changed",
    )


def _place(row: str) -> dict[str, str]:
    return {"table": "certificates", "column": "private_key", "row": row}
