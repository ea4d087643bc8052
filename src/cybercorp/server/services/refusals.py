"""Refusals in the audit trail: the first of a kind at once, the rest of a minute as one record with their number.

Whoever sends refused requests as fast as the wire carries them must not fill the disk with what is told of them.
"""

from __future__ import annotations

import logging

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import StorageError
from cybercorp.protocol.audit import Decision, Outcome
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.principals import Principal

WINDOW_S = 60.0
MAX_KINDS = 1_000  # in one window; what is beyond is counted together
_LOG = logging.getLogger("cybercorp.audit")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What was refused: `target` is a route or a topic, never an address with values in it."""

    operation: str
    actor: Principal | None
    network: str
    target: str
    code: str


class _Kind(msgspec.Struct):
    refusal: Refusal
    until_s: float
    more: int = 0


class RefusalService:
    """`note` never raises: who is refused is refused, whether that can be written down or not."""

    def __init__(self, audit: AuditService, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self.enabled = True

    async def note(self, refusal: Refusal) -> None:
        """Write it down, or count it where its like was written within the last minute."""
        if not self.enabled:
            return
        await self.flush()
        actor = refusal.actor
        key = (refusal.operation, actor.id if actor else "", refusal.network, refusal.target, refusal.code)
        kind = self._kinds.get(key)
        if kind is None and len(self._kinds) >= MAX_KINDS:
            key = (refusal.operation, "", "", "", refusal.code)
            refusal = msgspec.structs.replace(refusal, actor=None, network="", target="several")
            kind = self._kinds.get(key)
        if kind is not None:
            kind.more += 1
            return
        self._kinds[key] = _Kind(refusal, self._clock.monotonic() + WINDOW_S)
        await self._write(refusal, {"code": refusal.code})

    async def flush(self, *, everything: bool = False) -> None:
        """Write the numbers of the windows that are over."""
        now = self._clock.monotonic()
        over = [key for key, kind in self._kinds.items() if everything or kind.until_s <= now]
        for kind in [self._kinds.pop(key) for key in over]:
            if kind.more:
                await self._write(kind.refusal, {"code": kind.refusal.code, "times": str(kind.more)})

    async def _write(self, refusal: Refusal, detail: dict[str, str]) -> None:
        try:
            await self._audit.record(
                refusal.operation,
                actor=refusal.actor,
                decision=Decision.REFUSED,
                outcome=Outcome.FAILED,
                target_kind="route",
                target=refusal.target,
                detail=detail,
                network=refusal.network,
            )
        except StorageError as error:
            _LOG.warning("a refusal was not written down: %s (%s)", refusal.target, error.message)
