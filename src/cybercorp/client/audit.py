"""The audit trail: who did what, page by page; checking it, and keeping a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cybercorp.client.calls import Caller, Params, complete
from cybercorp.client.new_files import new_file
from cybercorp.client.recordings import Downloader
from cybercorp.protocol.audit import AuditKey, AuditPage, AuditVerification


class Transport(Caller, Downloader, Protocol):
    """The part of the transport that this noun needs."""


class AsyncAudit:
    """The audit trail of a server: `client.audit`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(
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
        """Records oldest first: of a span of time, of some operations (`login.*`), by an actor, about a target.

            page = await client.audit.list(operations=["login.*"], decision="refused", newest=True)

        `newest` takes the last `limit` records that match instead of the first. Continue with `after=page.next_after`.
        """
        params: Params = [
            ("after", after),
            ("before", before),
            ("since_ms", since_ms),
            ("until_ms", until_ms),
            *(("operation", operation) for operation in operations),
            ("actor", actor),
            ("target", target),
            ("decision", decision),
            ("limit", limit),
            ("newest", newest),
        ]
        return await self._transport.call("GET", "/api/v1/audit", AuditPage, params=params)

    async def verify(self, *, count: int | None = None, head: str | None = None) -> AuditVerification:
        """Let the server check every record, signature and line of its second copy.

            result = await client.audit.verify()
            assert result.finding is None, result.finding.reason

        `count` and `head` are `records` and `head` of an earlier result: what was there then must still be there.
        """
        params: Params = [("count", count), ("head", head)]
        return await self._transport.call("GET", "/api/v1/audit/verification", AuditVerification, params=params)

    async def list_keys(self) -> Sequence[AuditKey]:
        """The public keys that signed, newest first; keep them elsewhere, to check exports with."""
        return await self._transport.call("GET", "/api/v1/audit/keys", list[AuditKey])

    async def save(self, path: Path, *, replace: bool = False) -> int:
        """Save keys, checkpoints and all records as one file of JSON lines; its size in bytes.

            await client.audit.save(Path("audit.jsonl"))

        Raises ConflictError where there is one already, StepUpRequiredError.
        """
        size = 0
        with new_file(path, replace=replace) as part, part.open("r+b") as file:

            def take(data: bytes) -> None:
                nonlocal size
                size += len(data)
                file.write(data)

            await self._transport.download("/api/v1/audit/export", take)
        return size


class Audit:
    """`AsyncAudit` without await."""

    def __init__(self, audit: AsyncAudit) -> None:
        self._audit = audit

    def list(
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
        """See `AsyncAudit.list`."""
        return complete(
            self._audit.list(
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
        )

    def verify(self, *, count: int | None = None, head: str | None = None) -> AuditVerification:
        """See `AsyncAudit.verify`."""
        return complete(self._audit.verify(count=count, head=head))

    def list_keys(self) -> Sequence[AuditKey]:
        """See `AsyncAudit.list_keys`."""
        return complete(self._audit.list_keys())

    def save(self, path: Path, *, replace: bool = False) -> int:
        """See `AsyncAudit.save`."""
        return complete(self._audit.save(path, replace=replace))
