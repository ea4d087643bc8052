"""The keys of this server: opens the vault at start, makes the first data key, knows the keys that sign."""

from __future__ import annotations

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, StorageCorruptError
from cybercorp.core.ids import new_id
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.vault import Vault, new_key, unwrap_key, wrap_key
from cybercorp.store.records.data_keys import DataKeyRepository, DataKeyRow, DataKeyState
from cybercorp.store.records.signing_keys import Purpose, SigningKeyRepository, SigningKeyRow


async def open_vault(
    keys: DataKeyRepository, key: KeyEncryptionKey, clock: Clock, before: KeyEncryptionKey | None = None
) -> Vault:
    """Unwrap the data keys, or make the first one. Raises StorageCorruptError (`key_missing`) for another key.

    What the key `before` wrapped is wrapped by `key` first.
    """
    rows = [row for row in await keys.list_() if row.state != DataKeyState.RETIRED]
    if before is not None and (old := [row for row in rows if row.kek_id == before.id != key.id]):
        plain = {row.id: unwrap_key(row.wrapped, row.id, before.key) for row in old}
        await keys.rewrap([(number, wrap_key(one, number, key.key)) for number, one in plain.items()], key.id)
        rows = [row for row in await keys.list_() if row.state != DataKeyState.RETIRED]
    if not rows:
        made = new_key()
        row = DataKeyRow(
            id=1,
            wrapped=wrap_key(made, 1, key.key),
            kek_id=key.id,
            state=DataKeyState.CURRENT,
            created_at_ms=clock.now_ms(),
        )
        try:
            await keys.add(row)
        except ConflictError:  # another instance was first
            rows = await keys.list_()
        else:
            return Vault({1: made}, 1)
    others = [row for row in rows if row.kek_id != key.id]
    if others:
        raise StorageCorruptError(
            f"The records were encrypted under the key {others[0].kek_id}; {key.source} holds {key.id}.",
            hint="Name the right one in the setting key_source, or put the file back; see docs/encryption.md.",
            code="key_missing",
        )
    current = next(row.id for row in rows if row.state == DataKeyState.CURRENT)
    return Vault({row.id: unwrap_key(row.wrapped, row.id, key.key) for row in rows}, current)


async def signing_key(keys: SigningKeyRepository, purpose: Purpose, vault: Vault, clock: Clock) -> SigningKeyRow:
    """The newest key that still signs, made where there is none."""
    now_ms = clock.now_ms()
    for row in await keys.list_(purpose, vault):
        if row.private_key and row.retired_at_ms is None and (row.retires_at_ms or now_ms + 1) > now_ms:
            return row
    made = new_signing_key(purpose, now_ms)
    await keys.create(made, vault)
    return made


def new_signing_key(purpose: Purpose, now_ms: int) -> SigningKeyRow:
    """A fresh Ed25519 pair."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return SigningKeyRow(
        id=new_id("key"),
        purpose=purpose,
        public_key=private.public_key().public_bytes_raw(),
        private_key=private.private_bytes_raw(),
        created_at_ms=now_ms,
    )
