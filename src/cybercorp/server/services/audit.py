"""The audit trail of one server: nothing is done before it is written down, in the database and in a second copy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError, InvalidInputError
from cybercorp.protocol.audit import (
    AuditFinding,
    AuditKey,
    AuditLine,
    AuditPage,
    AuditRecord,
    AuditVerification,
    Decision,
    Outcome,
)
from cybercorp.security.audit_chain import ChainCheck, public_half
from cybercorp.security.audit_files import open_copy
from cybercorp.security.display import safe_text
from cybercorp.security.vault import Vault
from cybercorp.server.services.audit_file import AuditFile, file_size
from cybercorp.server.services.audit_writer import AuditWriter
from cybercorp.server.services.principals import Principal
from cybercorp.store.records.audit import AuditRepository, NewRecord
from cybercorp.store.records.signing_keys import Purpose, SigningKeyRepository

MAX_DETAIL = 2000
MAX_PAGE = 1_000


class AuditService:
    """`record` and `intend` return when what they wrote is durable twice; they raise StorageError otherwise."""

    def __init__(
        self, audit: AuditRepository, keys: SigningKeyRepository, vault: Vault, clock: Clock, file: Path
    ) -> None:
        self._audit = audit
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._path = file
        self._verifying = asyncio.Lock()
        self._told: AuditFinding | None = None
        self._writer = AuditWriter(audit, keys, vault, clock, AuditFile(file))

    @property
    def failing(self) -> str:
        """Why nothing can be written down now; empty where it can."""
        return self._writer.failing

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
            detail={safe_text(key): safe_text(value, MAX_DETAIL) for key, value in (detail or {}).items()},
        )
        return await self._writer.append(new)

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
        decision: Decision = Decision.ALLOWED,
        network: str = "",
    ) -> AsyncIterator[AuditRecord]:
        """What is done inside was written down before, and what came of it is after.

        Raises StorageError before anything is done. See `settle` for an outcome that cannot be written.
        """
        intent = await self.begin(
            operation,
            actor=actor,
            target_kind=target_kind,
            target_id=target_id,
            target=target,
            detail=detail,
            decision=decision,
            network=network,
        )
        try:
            yield intent
        except BaseException as error:
            await self.settle(intent, error.error_code if isinstance(error, CyberCorpError) else type(error).__name__)
            raise
        await self.settle(intent)

    async def begin(
        self,
        operation: str,
        *,
        actor: Principal | None,
        target_kind: str = "",
        target_id: str = "",
        target: str = "",
        detail: Mapping[str, str] | None = None,
        decision: Decision = Decision.ALLOWED,
        network: str = "",
    ) -> AuditRecord:
        """Write an intent, for `settle` to close. Raises StorageError: then it must not be done."""
        return await self.record(
            operation,
            actor=actor,
            decision=decision,
            outcome=Outcome.INTENT,
            target_kind=target_kind,
            target_id=target_id,
            target=target,
            detail=detail,
            network=network,
        )

    async def settle(self, intent: AuditRecord, error: str = "", *, outcome: Outcome | None = None) -> None:
        """Write down what came of an intent: done, or failed with this code. Raises nothing: it has happened.

        What cannot be written now is written as soon as anything can be; where the server ends before, the next start
        closes the intent as unknown.
        """
        values = {name: getattr(intent, name) for name in NewRecord.__struct_fields__}
        detail = {**intent.detail, "error": error} if error else intent.detail
        values |= {
            "time_ms": self._clock.now_ms(),
            "outcome": outcome or (Outcome.FAILED if error else Outcome.DONE),
            "intent": intent.id,
            "detail": detail,
        }
        new = NewRecord(**values)
        try:
            await self._writer.append(new)
        except CyberCorpError:
            self._writer.owe(new)

    async def close_open_intents(self) -> int:
        """At start: what was begun and has no outcome ended with the server; say so. Returns how many."""
        found = await self._audit.open_intents()
        for one in found:
            closed = msgspec.structs.replace(
                one, detail={**one.detail, "reason": "the server ended before the outcome was written"}
            )
            await self.settle(closed, outcome=Outcome.UNKNOWN)
        return len(found)

    async def checkpoint(self) -> bool:
        """Write what is owed, sign what there is, where something is unsigned. Raises StorageError."""
        return await self._writer.checkpoint()

    async def keys(self) -> list[AuditKey]:
        """The public keys that signed, newest first."""
        rows = await self._keys.list_(Purpose.AUDIT, self._vault)
        return [AuditKey(id=row.id, public_key=row.public_key.hex(), created_at_ms=row.created_at_ms) for row in rows]

    async def verify(self, anchor: tuple[int, str] | None = None) -> AuditVerification:
        """Check the whole chain, its checkpoints and the second copy. Raises StorageError where it cannot be read.

        `anchor` is a (count, head) that an earlier check told. A signature counts for the newest checkpoint only where
        the vault holds the private half of its key: whoever can write the database cannot make that up.
        """
        async with self._verifying:  # it takes a core for as long as it lasts
            return await self._verify(anchor)

    async def _verify(self, anchor: tuple[int, str] | None) -> AuditVerification:
        size = await asyncio.to_thread(file_size, self._path)  # first: what comes later is not compared
        rows = await self._keys.list_(Purpose.AUDIT, self._vault)
        checkpoints = await self._audit.checkpoints()
        with open_copy(self._path, size) as copy:
            check = ChainCheck(
                checkpoints,
                {row.id: row.public_key for row in rows},
                believed={row.id for row in rows if row.private_key and public_half(row.private_key) == row.public_key},
                copy=copy,
                anchor=anchor,
            )
            await self._audit.scan(check.take)
            return await asyncio.to_thread(check.finish)

    async def find_change(self) -> str:
        """Why the trail is not as it was written; empty where it is, or where this was said before."""
        finding = (await self.verify()).finding
        if finding is None or finding == self._told:
            return ""
        self._told = finding
        return finding.reason

    async def page(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        operations: Sequence[str] = (),
        actor: str | None = None,
        target: str | None = None,
        decision: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> AuditPage:
        """A page of the trail. Raises InvalidInputError."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"The limit is {limit}.", hint=f"Ask for 1 to {MAX_PAGE} records at a time.")
        return await self._audit.page(
            after=after,
            before=before,
            since_ms=since_ms,
            until_ms=until_ms,
            operations=operations,
            actor=actor,
            target=target,
            decision=decision,
            limit=limit,
            newest=newest,
        )

    async def export(self) -> AsyncIterator[bytes]:
        """Everything an auditor needs, as JSON lines: the keys, the checkpoints, then every record that is signed."""
        await self.checkpoint()
        encode = msgspec.json.Encoder().encode
        keys = [AuditLine(key=one) for one in await self.keys()]
        checkpoints = [AuditLine(checkpoint=one) for one in await self._audit.checkpoints()]
        yield b"".join(encode(line) + b"\n" for line in (*keys, *checkpoints))
        count = max((one.checkpoint.count for one in checkpoints if one.checkpoint is not None), default=0)
        async for records in self._audit.between(1, count + 1):
            yield b"".join(encode(AuditLine(record=one)) + b"\n" for one in records)

    async def close(self) -> None:
        """Write what waits, sign what is unsigned, close the second copy."""
        await self._writer.close()
