"""Writes the audit trail: many records in one transaction, first in the database, then in the second copy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.audit import AuditLine, AuditRecord, Outcome
from cybercorp.security.audit_chain import sign_checkpoint
from cybercorp.security.vault import Vault
from cybercorp.server.services.audit_file import AuditFile
from cybercorp.server.services.keys import signing_key
from cybercorp.store.records.audit import AuditRepository, NewRecord
from cybercorp.store.records.signing_keys import Purpose, SigningKeyRepository

CHECKPOINT_RECORDS = 256
KEY_MS = 365 * 86_400_000
MAX_OWED = 10_000
NOT_DURABLE = "audit_not_durable"
_LOG = logging.getLogger("cybercorp.audit")


class AuditWriter:
    """`append` returns when a record is durable twice. `failing` says why the last one was not, if it was not."""

    def __init__(
        self, audit: AuditRepository, keys: SigningKeyRepository, vault: Vault, clock: Clock, file: AuditFile
    ) -> None:
        self._audit = audit
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._file = file
        self._writing = asyncio.Lock()
        self._waiting: list[tuple[NewRecord, asyncio.Future[AuditRecord]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._owed: list[NewRecord] = []
        self._unsigned = True  # an earlier run may have left something
        self._since = 0
        self._begins: int | None = None  # the record that an empty copy begins with
        self.failing = ""

    async def append(self, new: NewRecord) -> AuditRecord:
        """Raises StorageError where it cannot be made durable; a record that is half there is taken back later."""
        future: asyncio.Future[AuditRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if new.outcome == Outcome.INTENT:  # it will be there, and nobody acts on it
                future.add_done_callback(self._abandon)
            raise

    def owe(self, new: NewRecord) -> None:
        """Write this as soon as anything can be written again."""
        if len(self._owed) < MAX_OWED:
            self._owed.append(new)

    async def checkpoint(self) -> bool:
        """Write what is owed, and sign what there is, where something is unsigned. Raises StorageError."""
        async with self._writing:
            if self._owed:
                await self._write([])
                self.failing = ""
            if not self._unsigned:
                return False
            return await self._checkpoint()

    async def close(self) -> None:
        """Write what waits, sign what is unsigned, close the copy."""
        if self._writer is not None:
            await self._writer
        with contextlib.suppress(CyberCorpError):  # then the next start's first checkpoint covers it
            await self.checkpoint()
        self._file.close()

    async def _write_waiting(self) -> None:
        """A task of its own: whoever waits for a record may go away, and what was begun is still finished."""
        while self._waiting:
            async with self._writing:
                waiting, self._waiting = self._waiting, []
                try:
                    written = await self._write([new for new, _ in waiting])
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must learn of it
                    self._failed(error)
                    for _, future in waiting:
                        _settle(future, error)
                    continue
                self.failing = ""
                for (_, future), one in zip(waiting, written, strict=True):
                    _settle(future, one)
                if self._since >= CHECKPOINT_RECORDS:
                    with contextlib.suppress(CyberCorpError):  # they are durable; the next checkpoint signs them
                        await self._checkpoint()

    async def _write(self, new: Sequence[NewRecord]) -> list[AuditRecord]:
        """The owed ones first; those that are new are returned."""
        owed = list(self._owed)
        written = await self._audit.append([*owed, *new])
        del self._owed[: len(owed)]
        self._unsigned = True
        self._since += len(written)
        mine = written[len(owed) :]
        try:
            await self._copy(written)
        except CyberCorpError:
            self._take_back(mine)
            raise
        return mine

    async def _copy(self, written: Sequence[AuditRecord]) -> None:
        """Into the second copy: with what it lacks, which it could not take before or another instance wrote."""
        last = await asyncio.to_thread(self._file.last_id)
        first = written[0].id
        if self._begins is None:
            self._begins = first
        if last is None:
            last = self._begins - 1
        if last + 1 < first:
            async for records in self._audit.between(last + 1, first):
                await asyncio.to_thread(self._file.append, [AuditLine(record=one) for one in records])
        await asyncio.to_thread(self._file.append, [AuditLine(record=one) for one in written])

    def _take_back(self, written: Sequence[AuditRecord]) -> None:
        """The database says that these were done, and whoever wanted to do them is told that they may not."""
        for one in written:
            if one.intent is None:
                self.owe(_failed_because(one, NOT_DURABLE))

    def _abandon(self, future: asyncio.Future[AuditRecord]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.owe(_failed_because(future.result(), "cancelled"))

    def _failed(self, error: Exception) -> None:
        if not self.failing:
            self.failing = str(error)
            _LOG.error("the audit trail cannot be written: %s", error)

    async def _checkpoint(self) -> bool:
        last = await self._audit.last()
        before = await self._audit.checkpoints(newest=1)
        if last is None or (before and before[0].count >= last.id):
            self._unsigned = False
            return False
        key = await signing_key(self._keys, Purpose.AUDIT, self._vault, self._clock)
        if self._clock.now_ms() - key.created_at_ms > KEY_MS:
            await self._keys.let_retire(
                key.id, self._clock.now_ms()
            )  # its private half stays: it is how it is believed
            key = await signing_key(self._keys, Purpose.AUDIT, self._vault, self._clock)
        made = sign_checkpoint(
            before[0] if before else None, self._clock.now_ms(), last.id, last.hash, key.id, key.private_key
        )
        signed = await self._audit.add_checkpoint(made)
        if signed:
            await asyncio.to_thread(self._file.append, [AuditLine(checkpoint=made)])
        self._unsigned, self._since = False, 0
        return signed


def _settle(future: asyncio.Future[AuditRecord], result: AuditRecord | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # who has gone meanwhile does not ask
    else:
        future.set_result(result)


def _failed_because(record: AuditRecord, error: str) -> NewRecord:
    """The record that says that this one did not come to pass."""
    values = {name: getattr(record, name) for name in NewRecord.__struct_fields__}
    return NewRecord(**{**values, "outcome": Outcome.FAILED, "intent": record.id, "detail": {"error": error}})
