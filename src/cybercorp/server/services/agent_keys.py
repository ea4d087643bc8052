"""Agents' keys: who is admitted, what each connection must prove, and who has shown a key that was copied.

With every connection the server hands the key on to the next generation; the agent keeps it before it sends anything.
Whoever comes with an older one has a copy: the host is locked, both copies, until somebody approves it again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError, UnauthenticatedError
from cybercorp.protocol.agents import Proof
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.security.agent_keys import is_public_key, verify_proof
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.policy import AGENT
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.agents import AgentRepository, AgentRow, AgentState

_LOG = logging.getLogger("cybercorp.agents")
_REFUSALS = {
    AgentState.PENDING: ("waits for approval", "An admin approves it: cybercorp hosts approve {name}", "agent_pending"),
    AgentState.LOCKED: (
        "is locked: its key was seen in two places",
        "Find out who copied it; then: cybercorp hosts approve {name}",
        "agent_locked",
    ),
    AgentState.RETIRED: ("is retired", "Join it again under another name: cybercorp enroll", "agent_retired"),
}


class AgentKeyService:
    """Keys are held in memory; generations are written together, soon after they changed."""

    def __init__(
        self,
        agents: AgentRepository,
        events: EventService,
        audit: AuditService,
        clock: Clock,
        *,
        approve: bool = False,
    ) -> None:
        self._agents = agents
        self._events = events
        self._audit = audit
        self._clock = clock
        self._approve = approve
        self._rows: dict[str, AgentRow] = {}
        self._moved: dict[str, int] = {}
        self.on_adopted: Callable[[LiveHost], Awaitable[object]] = _nothing
        self.on_shut_out: Callable[[LiveHost], None] = lambda host: None

    async def load(self) -> None:
        """Read what there is."""
        self._rows = {row.host_id: row for row in await self._agents.list_()}

    def state_of(self, host_id: str) -> str:
        """Of the host's key; empty where its agent still shows a token."""
        row = self._rows.get(host_id)
        return row.state if row else ""

    def knows(self, host_id: str) -> bool:
        return host_id in self._rows

    async def enrol(self, host_id: str, public_key: str, network: str) -> str:
        """Keep the key of a new host; returns its state. Raises InvalidInputError, StorageError."""
        if not is_public_key(public_key):
            raise InvalidInputError("This is no public key.", hint="Send Ed25519, 64 hexadecimal digits.")
        row = AgentRow(
            host_id=host_id,
            public_key=public_key,
            generation=1,
            state=AgentState.PENDING if self._approve else AgentState.ACTIVE,
            enrolled_at_ms=self._clock.now_ms(),
            network=network,
        )
        await self._agents.put(row)
        self._rows[host_id] = row
        return row.state

    async def adopt(self, host: LiveHost, public_key: str) -> None:
        """A host that had a token until now has a key; the token is worth nothing from now on."""
        row = self._rows.get(host.id)
        if row is None:
            await self.enrol(host.id, public_key, "")
            self._rows[host.id] = msgspec.structs.replace(self._rows[host.id], state=AgentState.ACTIVE)
            await self._agents.put(self._rows[host.id])
            await self.on_adopted(host)

    async def prove(
        self, host: LiveHost, proof: Proof, nonce: str, shown: Iterable[str], network: str
    ) -> tuple[Principal, int]:
        """Who connects, and the generation to hand out next.

        `shown` are the keys of the certificates that this server shows, none where it speaks plain HTTP. Raises
        UnauthenticatedError, ForbiddenError (`agent_pending`, `agent_locked`, `agent_retired`, `agent_cloned`).
        """
        row = self._rows.get(host.id)
        allowed = set(shown)
        if (
            row is None
            or proof.host_id != host.id
            or not verify_proof(row.public_key, proof.signature, nonce, host.id, proof.generation, proof.server_key)
            or (allowed and proof.server_key not in allowed)
        ):
            raise UnauthenticatedError("The proof of this agent is not valid.", hint="Join again: cybercorp enroll.")
        if row.state != AgentState.ACTIVE:
            what, hint, code = _REFUSALS[AgentState(row.state)]
            raise ForbiddenError(f"{host.name} {what}.", hint=hint.format(name=host.name), code=code)
        # The last one handed out may not have arrived: it and the one before are the same agent's.
        if proof.generation not in (row.generation, row.generation + 1):
            await self._lock(host, row, proof.generation, network)
            raise ForbiddenError(
                f"The key of {host.name} was copied: generation {proof.generation} was used before.",
                hint=f"Find out who copied it; then: cybercorp hosts approve {host.name}",
                code="agent_cloned",
            )
        principal = Principal(
            kind=PrincipalKind.AGENT, id=host.id, name=host.name, rights=AGENT, host_id=host.id, network=network
        )
        return principal, max(row.generation, proof.generation) + 1

    def confirm(self, host: LiveHost, generation: int) -> None:
        """The agent has kept the generation that it was handed: older ones are copies from now on."""
        row = self._rows.get(host.id)
        if row is not None and row.generation < generation <= row.generation + 2:
            self._rows[host.id] = msgspec.structs.replace(row, generation=generation)
            self._moved[host.id] = generation

    async def save(self) -> None:
        """Write the generations that have moved. Raises StorageError; then they are tried again."""
        moved, self._moved = self._moved, {}
        try:
            await self._agents.set_generations(moved)
        except BaseException:
            self._moved = {**moved, **self._moved}
            raise

    async def approve(self, actor: Principal, host: LiveHost) -> None:
        """Admit a host that waits, or that was locked. Raises ConflictError."""
        row = self._rows.get(host.id)
        if row is None or row.state == AgentState.RETIRED:
            what = "is retired" if row else "has no key yet"
            raise ConflictError(f"{host.name} {what}.", hint="Join it: cybercorp enroll.", code="not_approvable")
        await self._decide(actor, row, AgentState.ACTIVE, "approved")

    async def retire(self, actor: Principal, host: LiveHost, public_key: str = "") -> None:
        """Its agent never returns; its history stays. Also where it still shows a token: that is worth nothing then."""
        row = self._rows.get(host.id) or AgentRow(
            host_id=host.id,
            public_key=public_key,
            generation=1,
            state=AgentState.ACTIVE,
            enrolled_at_ms=host.row.joined_at_ms,
            network="",
        )
        await self._decide(actor, row, AgentState.RETIRED, "retired")
        self.on_shut_out(host)

    async def forget(self, host_id: str) -> None:
        """The host was removed."""
        self._rows.pop(host_id, None)
        self._moved.pop(host_id, None)
        await self._agents.remove(host_id)

    async def _decide(self, actor: Principal, row: AgentRow, state: AgentState, reason: str) -> None:
        changed = msgspec.structs.replace(
            row,
            state=state,
            decided_by=actor.name,
            decided_at_ms=self._clock.now_ms(),
            reason=reason,
        )
        await self._agents.put(changed)
        self._rows[row.host_id] = changed

    async def _lock(self, host: LiveHost, row: AgentRow, generation: int, network: str) -> None:
        reason = f"generation {generation} came from {network}, {row.generation} is current"
        changed = msgspec.structs.replace(
            row, state=AgentState.LOCKED, decided_at_ms=self._clock.now_ms(), reason=reason
        )
        self._rows[row.host_id] = changed
        _LOG.warning("the key of a host was copied: %s", reason)
        await self._agents.put(changed)
        await self._audit.record(
            "host.clone",
            decision="refused",
            target_kind="host",
            target_id=host.id,
            target=host.name,
            network=network,
            detail={"reason": reason},
        )
        text = f"The key of {host.name} was seen in two places; its agents are locked out."
        await self._events.note_host(EventKind.AGENT_REFUSED, host, text, severity=Severity.ERROR)
        self.on_shut_out(host)


async def _nothing(host: LiveHost) -> None:
    return
