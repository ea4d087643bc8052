"""The audit trail of one server: nothing is done before it is written down, in the database and in a second copy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.audit import AuditKey, AuditRecord, AuditVerification, Decision, Outcome
from cybercorp.security.display import safe_text
from cybercorp.security.vault import Vault
from cybercorp.server.services.audit_chain import ChainCheck, sign_checkpoint
from cybercorp.server.services.audit_file import AuditFile, AuditLine, read_lines
from cybercorp.server.services.keys import signing_key
from cybercorp.server.services.principals import Principal
from cybercorp.store.records.audit import AuditRepository, NewRecord
from cybercorp.store.records.signing_keys import Purpose, SigningKeyRepository

CHECKPOINT_RECORDS = 256
MAX_DETAIL = 2000
_LOG = logging.getLogger("cybercorp.audit")


class AuditService:
    """`record` and `intend` return when what they wrote is durable twice; they raise StorageError otherwise."""

    def __init__(
        self,
        audit: AuditRepository,
        keys: SigningKeyRepository,
        vault: Vault,
        clock: Clock,
        file: Path,
    ) -> None:
        self._audit = audit
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._file = AuditFile(file)
        self._writing = asyncio.Lock()
        self._waiting: list[tuple[NewRecord, asyncio.Future[AuditRecord]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._unsigned = 0
        self.failing = ""

    async def record(
        self,
        operation: str,
        *,
        actor: Principal | None = None,
        actor_name: str = "",
        decision: Decision | str = Decision.ALLOWED,
        outcome: Outcome | str = Outcome.DONE,
        target_kind: str = "",
        target_id: str = "",
        target: str = "",
        detail: Mapping[str, str] | None = None,
        network: str = "",
        intent: int | None = None,
    ) -> AuditRecord:
        """Write down what was done, or refused. `actor_name` is who somebody said they were, where nobody is known.

        Raises StorageError where it cannot be made durable.
        """
        new = NewRecord(
            time_ms=self._clock.now_ms(),
            operation=operation,
            actor_kind=str(actor.kind) if actor else "",
            actor_id=actor.id if actor else "",
            actor=safe_text(actor.name if actor else actor_name),
            session_id=(actor.session_id or actor.token_id) if actor else "",
            network=network or (actor.network if actor else ""),
            target_kind=target_kind,
            target_id=safe_text(target_id),
            target=safe_text(target),
            decision=str(decision),
            outcome=str(outcome),
            intent=intent,
            detail={key: safe_text(value, MAX_DETAIL) for key, value in (detail or {}).items()},
        )
        future: asyncio.Future[AuditRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await future

    @contextlib.asynccontextmanager
    async def intend(
        self,
        operation: str,
        *,
        actor: Principal | None,
        target_kind: str = "",
        target_id: str = "",
        target: str = "",
        detail: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AuditRecord]:
        """What is done inside was written down before, and what came of it is after.

        Where the outcome cannot be written it stays open, and is closed as unknown at the next start.
        """

        async def write(outcome: Outcome, more: Mapping[str, str], intent: int | None) -> AuditRecord:
            return await self.record(
                operation,
                actor=actor,
                outcome=outcome,
                target_kind=target_kind,
                target_id=target_id,
                target=target,
                detail={**(detail or {}), **more},
                intent=intent,
            )

        intent = await write(Outcome.INTENT, {}, None)
        try:
            yield intent
        except BaseException as error:
            why = error.error_code if isinstance(error, CyberCorpError) else type(error).__name__
            with contextlib.suppress(CyberCorpError):
                await write(Outcome.FAILED, {"error": why}, intent.id)
            raise
        await write(Outcome.DONE, {}, intent.id)

    async def close_open_intents(self) -> int:
        """At start: what was begun and has no outcome ended with the server; say so. Returns how many."""
        found = await self._audit.open_intents()
        for one in found:
            await self.record(
                one.operation,
                outcome=Outcome.UNKNOWN,
                target_kind=one.target_kind,
                target_id=one.target_id,
                target=one.target,
                detail={"reason": "the server ended before the outcome was written"},
                intent=one.id,
            )
        return len(found)

    async def checkpoint(self) -> bool:
        """Sign what there is, where something is unsigned. Raises StorageError."""
        async with self._writing:
            if not self._unsigned:
                return False
            await self._checkpoint()
            return True

    async def keys(self) -> list[AuditKey]:
        """The public keys whose signatures count."""
        rows = await self._keys.list_(Purpose.AUDIT, self._vault)
        return [AuditKey(id=row.id, public_key=row.public_key.hex(), created_at_ms=row.created_at_ms) for row in rows]

    async def verify(self) -> AuditVerification:
        """Check the whole chain, its checkpoints and the second copy. Raises StorageError where it cannot be read."""
        keys = {row.id: row.public_key for row in await self._keys.list_(Purpose.AUDIT, self._vault)}
        seen = await asyncio.to_thread(self._copied)
        check = ChainCheck(await self._audit.checkpoints(), keys, seen)
        async for rows in self._audit.stream():
            if not await asyncio.to_thread(check.take, rows):
                break
        return check.finish()

    async def close(self) -> None:
        """Write what waits, sign what is unsigned, close the second copy."""
        if self._writer is not None:
            await self._writer
        with contextlib.suppress(CyberCorpError):  # then the next start's first checkpoint covers it
            await self.checkpoint()
        self._file.close()

    def _copied(self) -> dict[int, str]:
        return {line.record.id: line.record.hash for line in read_lines(self._file.path) if line.record is not None}

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
                        if not future.done():
                            future.set_exception(error)
                    continue
                self.failing = ""
                for (_, future), one in zip(waiting, written, strict=True):
                    if not future.done():
                        future.set_result(one)
                if self._unsigned >= CHECKPOINT_RECORDS:
                    with contextlib.suppress(CyberCorpError):  # they are durable; the next checkpoint signs them
                        await self._checkpoint()

    async def _write(self, new: list[NewRecord]) -> list[AuditRecord]:
        written = await self._audit.append(new)
        self._unsigned += len(written)
        await asyncio.to_thread(self._file.append, [AuditLine(record=one) for one in written])
        return written

    def _failed(self, error: Exception) -> None:
        if not self.failing:
            self.failing = str(error)
            _LOG.error("the audit trail cannot be written: %s", error)

    async def _checkpoint(self) -> None:
        last = await self._audit.last()
        if last is None:
            return
        before = await self._audit.checkpoints(newest=1)
        key = await signing_key(self._keys, Purpose.AUDIT, self._vault, self._clock)
        made = sign_checkpoint(before[0] if before else None, self._clock.now_ms(), last.id, last.hash, key)
        if await self._audit.add_checkpoint(made):
            await asyncio.to_thread(self._file.append, [AuditLine(checkpoint=made)])
        self._unsigned = 0
