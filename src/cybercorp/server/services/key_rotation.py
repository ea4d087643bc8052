"""Rotation of the data key while the server serves: a new key comes, then encrypts; all is sealed anew; the old goes.

A server that shares its records with others looks for keys every few seconds, so a new one waits before it encrypts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, StorageCorruptError
from cybercorp.protocol.keys import DataKey, DataKeyState, KeyStatus
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.vault import Vault, new_key, unwrap_key, wrap_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.principals import Principal
from cybercorp.store.records.data_keys import DataKeyRepository, DataKeyRow
from cybercorp.store.records.sealed_columns import SealedColumns
from cybercorp.store.timeseries.engine import TimeSeries

GRACE_MS = 10_000
"""So long a new key waits before it encrypts, and then before anything is encrypted anew."""

_CHUNKS = 32


class KeyService:
    def __init__(
        self,
        keys: DataKeyRepository,
        sealed: SealedColumns,
        store: TimeSeries,
        vault: Vault,
        find_key: Callable[[], KeyEncryptionKey],
        audit: AuditService,
        clock: Clock,
    ) -> None:
        """`find_key` gives the key-encryption key: it is asked for when it is needed, and not kept."""
        self._keys = keys
        self._sealed = sealed
        self._store = store
        self._vault = vault
        self._find_key = find_key
        self._audit = audit
        self._clock = clock

    async def status(self) -> KeyStatus:
        """All keys, oldest first."""
        rows = await self._keys.list_()
        return KeyStatus(
            key_encryption_key=rows[-1].kek_id,
            keys=[
                DataKey(
                    id=row.id,
                    state=DataKeyState(row.state),
                    created_at_ms=row.created_at_ms,
                    retired_at_ms=row.retired_at_ms,
                )
                for row in rows
            ],
            chunks_waiting=self._store.unencrypted,
        )

    async def rotate(self, actor: Principal) -> KeyStatus:
        """Make a new data key; the background does the rest.

        Raises StepUpRequiredError, ConflictError (`rotation_running`), StorageCorruptError (`key_missing`) where the
        key-encryption key is another one now, and what finding it raises.
        """
        actor.require_step_up(self._clock.now_ms())
        rows = await self._keys.list_()
        if any(row.state == DataKeyState.COMING for row in rows):
            raise ConflictError(
                "A rotation has just begun.", hint="See how far it is: cybercorp keys status.", code="rotation_running"
            )
        number = await self._keys.next_id()
        async with self._audit.intend("key.rotate", actor=actor, target_kind="data_key", target_id=str(number)):
            outer = await asyncio.to_thread(self._find_key)
            if outer.id != rows[-1].kek_id:
                raise StorageCorruptError(
                    f"The records were encrypted under the key {rows[-1].kek_id}; {outer.source} holds {outer.id}.",
                    hint="Put the right one back; to change it, see docs/encryption.md.",
                    code="key_missing",
                )
            made = new_key()
            row = DataKeyRow(
                id=number,
                wrapped=wrap_key(made, number, outer.key),
                kek_id=outer.id,
                state=DataKeyState.COMING,
                created_at_ms=self._clock.now_ms(),
            )
            await self._keys.add(row)
            self._vault.add(number, made)
        return await self.status()

    async def work(self) -> bool:
        """One round in the background; whether another one should follow at once. Raises StorageError."""
        rows = await self._keys.list_()
        await self._adopt(rows)
        age_ms = self._clock.now_ms() - rows[-1].created_at_ms
        if rows[-1].state == DataKeyState.COMING:
            if age_ms < GRACE_MS:
                return False
            await self._keys.promote(rows[-1].id)
            return True
        old = [row for row in rows if row.state == DataKeyState.OLD]
        if old and age_ms < 2 * GRACE_MS:
            return False  # another server may encrypt with it still
        done = await asyncio.to_thread(self._store.reencrypt, _CHUNKS)
        if not done:
            return self._store.unencrypted > 0
        if old:
            await self._sealed.reseal(self._vault)
        for row in old:
            await self._keys.retire(row.id, self._clock.now_ms())
            await self._audit.record("key.retire", target_kind="data_key", target_id=str(row.id))
        return False

    async def _adopt(self, rows: Sequence[DataKeyRow]) -> None:
        """The vault has the keys that are needed, also those that another server made, and no others."""
        for row in rows:
            if row.state != DataKeyState.RETIRED and not self._vault.has(row.id):
                outer = await asyncio.to_thread(self._find_key)
                self._vault.add(row.id, unwrap_key(row.wrapped, row.id, outer.key))
        self._vault.use(next(row.id for row in rows if row.state == DataKeyState.CURRENT))
        for row in rows:
            if row.state == DataKeyState.RETIRED:
                self._vault.drop(row.id)
