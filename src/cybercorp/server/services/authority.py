"""Our own certificate authority: the one that signs, the one that waits, and the certificate that the server shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.certificates import CertificateStatus
from cybercorp.security.certificates import (
    LEAF_DAYS,
    KeyPair,
    check_names,
    issue,
    make_authority,
    names_of,
    pin_of,
    validity_of,
)
from cybercorp.security.vault import Vault
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.principals import Principal
from cybercorp.store.records.certificates import (
    CertificateKind,
    CertificateRepository,
    CertificateRow,
    CertificateState,
)

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
RENEW_AFTER = 2 / 3


class AuthorityService:
    """Several instances share what it keeps: each reads it again before it decides."""

    def __init__(
        self,
        certificates: CertificateRepository,
        vault: Vault,
        audit: AuditService,
        clock: Clock,
        *,
        leaf_days: float = LEAF_DAYS,
    ) -> None:
        self._certificates = certificates
        self._vault = vault
        self._audit = audit
        self._clock = clock
        self._leaf_days = leaf_days
        self._changing = asyncio.Lock()
        self._rows: list[CertificateRow] = []

    async def load(self) -> bool:
        """Read what there is; whether there is a certificate to show."""
        self._rows = await self._certificates.list_(self._vault)
        return self._find(CertificateKind.LEAF, CertificateState.CURRENT) is not None

    @property
    def leaf(self) -> KeyPair | None:
        """What the server shows, with the authority that signed it behind it."""
        leaf = self._find(CertificateKind.LEAF, CertificateState.CURRENT)
        authority = self._find(CertificateKind.AUTHORITY, CertificateState.CURRENT)
        if leaf is None or authority is None:
            return None
        return KeyPair(leaf.certificate + authority.certificate, leaf.private_key)

    @property
    def pins(self) -> list[str]:
        """The pins that clients keep: of the authority that signs, and of the one that will sign after it."""
        wanted = (CertificateState.CURRENT, CertificateState.BACKUP)
        found = [self._find(CertificateKind.AUTHORITY, state) for state in wanted]
        return [row.pin for row in found if row is not None]

    @property
    def authorities(self) -> str:
        """The certificates of both, PEM: public, and what a client compares with its pins."""
        wanted = (CertificateState.CURRENT, CertificateState.BACKUP)
        return "".join(row.certificate for state in wanted if (row := self._find(CertificateKind.AUTHORITY, state)))

    async def create(self, actor: Principal | None, names: Sequence[str]) -> None:
        """A certificate for these names, and the authorities where there are none.

        Raises InvalidInputError, ConflictError (`certificate_changed`) where another instance was first.
        """
        wanted = check_names([*names, *LOCAL_NAMES])
        async with self._changing:
            await self.load()
            async with self._audit.intend(
                "certificate.create", actor=actor, target_kind="certificate", target=" ".join(names)
            ):
                made = [] if self._find(CertificateKind.AUTHORITY, CertificateState.CURRENT) else self._authorities()
                signer = made[0] if made else self._find(CertificateKind.AUTHORITY, CertificateState.CURRENT)
                assert signer is not None
                await self._replace_leaf(signer, wanted, made)

    async def renew(self, actor: Principal | None = None, *, force: bool = False) -> bool:
        """A new certificate for the same names where two thirds of its life are over; whether that was done.

        Raises ConflictError (`certificate_changed`) where another instance was first.
        """
        async with self._changing:
            if not await self.load():
                return False
            leaf = self._find(CertificateKind.LEAF, CertificateState.CURRENT)
            signer = self._find(CertificateKind.AUTHORITY, CertificateState.CURRENT)
            assert leaf is not None
            if signer is None:
                return False
            life = leaf.not_after_ms - leaf.not_before_ms
            # One that ends with its authority gains nothing by being made anew.
            due = self._clock.now_ms() >= leaf.not_before_ms + life * RENEW_AFTER
            if not force and not (due and leaf.not_after_ms < signer.not_after_ms):
                return False
            async with self._audit.intend("certificate.renew", actor=actor, target_kind="certificate"):
                await self._replace_leaf(signer, names_of(leaf.certificate), [])
        return True

    async def rotate(self, actor: Principal) -> None:
        """The backup signs from now on, a new backup is made.

        Raises NotFoundError where there is no authority, ConflictError where another instance was first.
        """
        async with self._changing:
            await self.load()
            backup = self._find(CertificateKind.AUTHORITY, CertificateState.BACKUP)
            current = self._find(CertificateKind.AUTHORITY, CertificateState.CURRENT)
            leaf = self._find(CertificateKind.LEAF, CertificateState.CURRENT)
            if backup is None or current is None or leaf is None:
                raise no_certificate()
            async with self._audit.intend(
                "certificate.rotate", actor=actor, target_kind="certificate", detail={"old": current.pin}
            ):
                fresh = self._row(
                    CertificateKind.AUTHORITY,
                    CertificateState.BACKUP,
                    make_authority("CyberCorp authority", self._clock.now_ms()),
                )
                shown = self._leaf(backup, names_of(leaf.certificate))
                leaves = [row.id for row in self._rows if row.kind == CertificateKind.LEAF]
                await self._certificates.replace(
                    [fresh, shown], self._vault, retired=[current.id, *leaves], promoted=backup.id
                )
            await self.load()

    def status(self) -> CertificateStatus:
        """What is shown, until when, and the pins. Raises NotFoundError (`no_certificate`)."""
        leaf = self._find(CertificateKind.LEAF, CertificateState.CURRENT)
        if leaf is None:
            raise no_certificate()
        life = leaf.not_after_ms - leaf.not_before_ms
        return CertificateStatus(
            names=names_of(leaf.certificate),
            not_before_ms=leaf.not_before_ms,
            not_after_ms=leaf.not_after_ms,
            renewed_at_ms=round(leaf.not_before_ms + life * RENEW_AFTER),
            pins=self.pins,
            authorities=self.authorities,
        )

    def _authorities(self) -> list[CertificateRow]:
        states = (CertificateState.CURRENT, CertificateState.BACKUP)
        now_ms = self._clock.now_ms()
        return [
            self._row(CertificateKind.AUTHORITY, state, make_authority("CyberCorp authority", now_ms))
            for state in states
        ]

    async def _replace_leaf(self, signer: CertificateRow, names: Sequence[str], more: list[CertificateRow]) -> None:
        old = [row.id for row in self._rows if row.kind == CertificateKind.LEAF]
        await self._certificates.replace([*more, self._leaf(signer, names)], self._vault, retired=old)
        await self.load()

    def _leaf(self, signer: CertificateRow, names: Sequence[str]) -> CertificateRow:
        made = issue(signer.pair, names, self._clock.now_ms(), self._leaf_days)
        return self._row(CertificateKind.LEAF, CertificateState.CURRENT, made)

    def _row(self, kind: CertificateKind, state: CertificateState, pair: KeyPair) -> CertificateRow:
        valid = validity_of(pair.certificate)
        return CertificateRow(
            id=new_id("cert"),
            kind=kind,
            state=state,
            certificate=pair.certificate,
            private_key=pair.private_key,
            pin=pin_of(pair.certificate),
            not_before_ms=valid.not_before_ms,
            not_after_ms=valid.not_after_ms,
            created_at_ms=self._clock.now_ms(),
        )

    def _find(self, kind: CertificateKind, state: CertificateState) -> CertificateRow | None:
        return next((row for row in self._rows if (row.kind, row.state) == (kind, state)), None)


def no_certificate() -> NotFoundError:
    """Where nobody has made one yet."""
    return NotFoundError(
        "This server has no certificate of its own.",
        hint="Make one: cybercorp server create-certificate NAME.",
        code="no_certificate",
    )
