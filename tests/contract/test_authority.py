"""The authority on both databases: two instances that change it at once leave one certificate that verifies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import ConflictError
from cybercorp.security.certificates import split_pem
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.authority import AuthorityService
from cybercorp.server.services.principals import LOCAL_OWNER
from cybercorp.store.records.certificates import CertificateKind, CertificateState
from cybercorp.store.records.database import Records
from tests.contract.conftest import Another


def service(records: Records, vault: Vault, folder: Path) -> AuthorityService:
    audit = AuditService(records.audit, records.signing_keys, vault, SystemClock(), folder)
    return AuthorityService(records.certificates, vault, audit, SystemClock())


@pytest.mark.parametrize("second", ["rotate", "renew"])
async def test_two_instances_at_once(records: Records, another: Another, tmp_path: Path, second: str) -> None:
    """One of them was first; the other one changes nothing and says so, or comes after it."""
    from cryptography.x509 import load_pem_x509_certificate

    vault = Vault({1: new_key()}, 1)
    one, other = service(records, vault, tmp_path / "a"), service(await another(), vault, tmp_path / "b")
    await one.create(LOCAL_OWNER, ["monitor.test"])
    change = other.rotate(LOCAL_OWNER) if second == "rotate" else other.renew(LOCAL_OWNER, force=True)
    ended = await asyncio.gather(one.rotate(LOCAL_OWNER), change, return_exceptions=True)
    assert all(error is None or error is True or isinstance(error, ConflictError) for error in ended), ended
    await one.load()
    await other.load()
    assert one.leaf is not None
    assert other.leaf is not None
    assert one.leaf.certificate == other.leaf.certificate
    leaf, signer = (load_pem_x509_certificate(part.encode()) for part in split_pem(one.leaf.certificate))
    leaf.verify_directly_issued_by(signer)
    rows = await records.certificates.list_(vault)
    found = sorted((row.kind, row.state) for row in rows)
    assert found == [
        (CertificateKind.AUTHORITY, CertificateState.BACKUP),
        (CertificateKind.AUTHORITY, CertificateState.CURRENT),
        (CertificateKind.LEAF, CertificateState.CURRENT),
    ]


async def test_the_first_certificate_is_made_once(records: Records, another: Another, tmp_path: Path) -> None:
    """Two instances without any authority make one at the same moment: one is first, the other one is told."""
    vault = Vault({1: new_key()}, 1)
    one, other = service(records, vault, tmp_path / "a"), service(await another(), vault, tmp_path / "b")
    for made in (one, other):
        assert not await made.load()
    # Both have looked before either has written: each goes on with what it saw.
    ended = await asyncio.gather(
        *(made.create(LOCAL_OWNER, ["monitor.test"]) for made in (one, other)), return_exceptions=True
    )
    assert all(error is None or isinstance(error, ConflictError) for error in ended), ended
    rows = await records.certificates.list_(vault)
    assert len([row for row in rows if row.kind == CertificateKind.AUTHORITY]) == 2
    assert len(rows) == 3


async def test_the_table_holds_one_of_each(records: Records, tmp_path: Path) -> None:
    """A second authority that signs, waits, or a second certificate is refused whole, whoever writes it."""
    vault = Vault({1: new_key()}, 1)
    made = service(records, vault, tmp_path / "a")
    await made.create(LOCAL_OWNER, ["monitor.test"])
    before = await records.certificates.list_(vault)
    for row in before:
        twin = msgspec.structs.replace(row, id=f"twin-{row.id}")
        with pytest.raises(ConflictError) as refused:
            await records.certificates.replace([twin], vault, retired=[])
        assert refused.value.error_code == "certificate_changed"
    assert await records.certificates.list_(vault) == before
