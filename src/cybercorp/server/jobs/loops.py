"""The server's background work: commit, tick, presence, seal, retain; each loop supervised, none stops another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cybercorp.core.errors import StorageError
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.server.wiring import Services

TICK_S = 0.1
PRESENCE_S = 5.0
SEAL_S = 5.0
RETAIN_S = 600.0
CHECKPOINT_S = 60.0
FIRST_VERIFY_S = 60.0
VERIFY_S = 86_400.0
POLICY_S = 2.0
CERTIFICATES_S = 60.0
KEYS_S = 5.0
_KEYS_PAUSE_S = 0.1
_RETRY_S = 1.0
_LOG = logging.getLogger("cybercorp.jobs")


class Jobs:
    """`start` begins the loops, `stop` ends them after a last commit."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: list[asyncio.Task[None]] = []
        self._keys_pause_s = KEYS_S
        self._verify_pause_s = FIRST_VERIFY_S
        self.failures = 0

    def start(self) -> None:
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "commit": self._commit,
            "tick": self._tick,
            "presence": self._presence,
            "seal": self._seal,
            "retain": self._retain,
            "checkpoint": self._checkpoint,
            "verify": self._verify,
            "policy": self._policy,
            "certificates": self._certificates,
            "keys": self._keys,
        }
        self._tasks = [asyncio.create_task(self._supervise(name, work), name=name) for name, work in loops.items()]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for work in (self._services.ingest.commit, self._save_seen, self._services.agent_keys.save):
            try:
                await work()
            except Exception:  # noqa: BLE001 - the last round: what failed is not acknowledged and comes again
                self.failures += 1
                _LOG.exception("the last %s failed", work.__name__.strip("_"))

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run one round after the other; a round that fails is counted, logged and followed by the next."""
        while True:
            try:
                await work()
            except StorageError as error:
                _LOG.warning("%s: %s", name, error)
                await asyncio.sleep(_RETRY_S)
            except Exception:  # noqa: BLE001 - a named supervisor: one bad round must not end the job
                self.failures += 1
                _LOG.exception("the job %s failed (%d so far)", name, self.failures)
                await asyncio.sleep(_RETRY_S)

    async def _commit(self) -> None:
        await self._services.ingest.arrived()
        await asyncio.sleep(self._services.settings.commit_interval_ms / 1000)
        await self._services.ingest.commit()
        if self._services.ingest.failing:
            await asyncio.sleep(_RETRY_S)

    async def _tick(self) -> None:
        await asyncio.sleep(TICK_S)
        self._services.live.tick()

    async def _presence(self) -> None:
        await asyncio.sleep(PRESENCE_S)
        self._services.servers.measure()
        await self._services.servers.probe()
        await self._save_seen()

    async def _seal(self) -> None:
        await asyncio.sleep(SEAL_S)
        pending = True
        while pending:
            report = await asyncio.to_thread(self._services.store.seal)
            pending = report.pending
            for sentence in report.damaged:
                _LOG.warning("%s", sentence)
                await self._services.events.note(EventKind.STORAGE_DAMAGED, sentence, severity=Severity.ERROR)

    async def _retain(self) -> None:
        await asyncio.sleep(RETAIN_S)
        services = self._services
        if services.recorded:
            return
        report = await asyncio.to_thread(services.store.retain)
        if report.chunks:
            _LOG.info("retention dropped %d chunks, %d bytes", report.chunks, report.size_bytes)
        await services.sessions.forget_old()
        await services.records.events.delete_before(services.clock.now_ms() - services.settings.events_retention_ms)

    async def _checkpoint(self) -> None:
        await asyncio.sleep(CHECKPOINT_S)
        await self._services.refusals.flush()
        await self._services.audit.checkpoint()

    async def _verify(self) -> None:
        await asyncio.sleep(self._verify_pause_s)
        self._verify_pause_s = VERIFY_S
        await self.verify_audit()

    async def verify_audit(self) -> None:
        """Check the audit trail; what somebody changed is an event, once for each start of the server."""
        reason = "" if self._services.recorded else await self._services.audit.find_change()
        if reason:
            _LOG.error("the audit trail was changed: %s", reason)
            await self._services.events.note(EventKind.AUDIT_CHANGED, reason, severity=Severity.ERROR)

    async def _policy(self) -> None:
        await asyncio.sleep(POLICY_S)
        services = self._services
        await services.policy.load()
        for token_id, principal in services.live.programs().items():
            services.live.renew_program(token_id, await services.api_tokens.again(principal))
        services.live.recheck()
        over = [one for one in services.live.sessions() if not await services.sessions.is_alive(one)]
        services.live.end_sessions(over)
        await services.agent_keys.save()
        await services.agent_keys.look()

    async def _keys(self) -> None:
        await asyncio.sleep(self._keys_pause_s)
        more = not self._services.recorded and await self._services.keys.work()
        self._keys_pause_s = _KEYS_PAUSE_S if more else KEYS_S

    async def _certificates(self) -> None:
        await asyncio.sleep(CERTIFICATES_S)
        await self._services.certificates.look_after()

    async def _save_seen(self) -> None:
        hosts = [host for host in self._services.fleet.hosts if host.seen_at_ms != host.row.seen_at_ms]
        await self._services.records.hosts.update_seen({host.key: host.seen_at_ms or 0 for host in hosts})
        for host in hosts:
            host.saved_seen()
