"""Data keys and signing keys, on both databases."""

import asyncio

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ConflictError, StorageCorruptError
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.vault import Vault, new_key, wrap_key
from cybercorp.server.services.keys import open_vault, signing_key
from cybercorp.store.records.data_keys import DataKeyRow, DataKeyState
from cybercorp.store.records.database import Records
from cybercorp.store.records.signing_keys import Purpose

PLACE = {"table": "t", "column": "c", "row": "r"}


async def test_the_vault_opens_again(records: Records) -> None:
    """The first start makes a data key, later ones and other instances find it; another outer key is refused."""
    outer, clock = KeyEncryptionKey(new_key(), "a file"), ManualClock()
    first, *others = await asyncio.gather(*(open_vault(records.data_keys, outer, clock) for _ in range(4)))
    sealed = first.seal(b"secret", **PLACE)
    assert [vault.open(sealed, **PLACE) for vault in others] == [b"secret"] * 3
    assert len(await records.data_keys.list_()) == 1
    with pytest.raises(StorageCorruptError) as missing:
        await open_vault(records.data_keys, KeyEncryptionKey(new_key(), "another file"), clock)
    assert missing.value.error_code == "key_missing"


async def test_one_data_key_is_current(records: Records) -> None:
    """A new one takes its place in one step; a retired one keeps its number and nothing else."""
    outer = KeyEncryptionKey(new_key(), "a file")
    await open_vault(records.data_keys, outer, ManualClock())
    number = await records.data_keys.next_id()
    row = DataKeyRow(
        id=number,
        wrapped=wrap_key(new_key(), number, outer.key),
        kek_id=outer.id,
        state=DataKeyState.CURRENT,
        created_at_ms=1,
    )
    await records.data_keys.add(row)
    with pytest.raises(ConflictError):
        await records.data_keys.add(row)
    assert [one.state for one in await records.data_keys.list_()] == [DataKeyState.OLD, DataKeyState.CURRENT]
    await records.data_keys.retire(number, 2)  # the current one stays
    await records.data_keys.retire(1, 2)
    first, second = await records.data_keys.list_()
    assert (first.state, first.wrapped, first.retired_at_ms) == (DataKeyState.RETIRED, "", 2)
    assert second.state == DataKeyState.CURRENT
    assert await records.data_keys.next_id() == 3


async def test_signing_keys_are_sealed(records: Records) -> None:
    """They come back as they were; with another vault they do not open; a retired one has no private half."""
    vault, clock = Vault({1: new_key()}, 1), ManualClock()
    made = await signing_key(records.signing_keys, Purpose.AUDIT, vault, clock)
    assert await signing_key(records.signing_keys, Purpose.AUDIT, vault, clock) == made
    assert await records.signing_keys.list_(Purpose.ACCESS, vault) == []
    assert made.private_key.hex() not in repr(made)
    with pytest.raises(StorageCorruptError):
        await records.signing_keys.list_(Purpose.AUDIT, Vault({1: new_key()}, 1))
    await records.signing_keys.let_retire(made.id, clock.now_ms() + 1000)
    clock.advance(2)
    second = await signing_key(records.signing_keys, Purpose.AUDIT, vault, clock)
    assert second.id != made.id
    await records.signing_keys.retire(made.id, clock.now_ms())
    old = next(row for row in await records.signing_keys.list_(Purpose.AUDIT, vault) if row.id == made.id)
    assert (old.private_key, old.public_key) == (b"", made.public_key)
    with pytest.raises(ConflictError):
        await records.signing_keys.create(second, vault)
