"""Agents' keys: who is admitted, what each connection must prove, and who has shown a key that was copied.

With every connection the server hands the key on to the next generation, a number and a random mark; the agent keeps
both before it confirms. Whoever comes with another one has a copy: the host is locked, both copies, until somebody
approves it again. Nothing but a valid signature moves, locks or cuts anything.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError, StorageError, UnauthenticatedError
from cybercorp.protocol.agents import Proof
from cybercorp.protocol.audit import Decision
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.security.agent_keys import is_public_key, new_mark, verify_proof
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import Fleet, LiveHost
from cybercorp.server.services.generations import Generations, kept
from cybercorp.server.services.policy import AGENT
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.agents import ANY, FIRST, AgentRepository, AgentRow, AgentState, Generation

_LAST = 1 << 53
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


class Admission(msgspec.Struct, frozen=True):
    """Who has proven itself, and the generation to hand out: number and mark."""

    principal: Principal
    generation: int
    mark: str


class AgentKeyService:
    """`shared`: other instances write to the same records; then each looks there before it believes or locks."""

    def __init__(
        self,
        agents: AgentRepository,
        fleet: Fleet,
        events: EventService,
        audit: AuditService,
        clock: Clock,
        *,
        approve: bool = False,
        shared: bool = False,
    ) -> None:
        self._agents = agents
        self._fleet = fleet
        self._events = events
        self._audit = audit
        self._clock = clock
        self._approve = approve
        self._shared = shared
        self._rows: dict[str, AgentRow] = {}
        self._generations = Generations(agents)
        self._generations.on_elsewhere = self._moved_elsewhere
        self.on_shut_out: Callable[[LiveHost], None] = lambda host: None

    async def load(self) -> None:
        """Read what there is."""
        self._rows = {row.host_id: row for row in await self._agents.list_()}

    def state_of(self, host_id: str) -> str:
        """Of the host's key; empty where it has none."""
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
            generation=FIRST.number,
            state=AgentState.PENDING if self._approve else AgentState.ACTIVE,
            enrolled_at_ms=self._clock.now_ms(),
            network=network,
        )
        await self._agents.add(row)
        self._rows[host_id] = row
        return row.state

    async def prove(self, host: LiveHost, proof: Proof, nonce: str, shown: Iterable[str], network: str) -> Admission:
        """Who connects, and the generation to hand out next.

        `shown` are the keys of the certificates that this server shows, none where it speaks plain HTTP. Raises
        UnauthenticatedError, ForbiddenError (`agent_pending`, `agent_locked`, `agent_retired`, `agent_cloned`),
        StorageError where a copy was found out and that cannot be written down.
        """
        row = await self._current(host.id)
        allowed = set(shown)
        if (
            row is None
            or proof.host_id != host.id
            or not verify_proof(
                row.public_key, proof.signature, nonce, host.id, proof.generation, proof.server_key, proof.mark
            )
            or (allowed and proof.server_key not in allowed)
        ):
            raise UnauthenticatedError("The proof of this agent is not valid.", hint="Join again: cybercorp enroll.")
        if row.state != AgentState.ACTIVE:
            raise _refusal(host, row)
        told = kept(proof.generation, proof.mark)
        if told != row.kept:
            # The one after the last was handed out and kept; its confirmation was lost on the way.
            if not 1 <= told.number <= _LAST or (row.kept != ANY and told.number != row.generation + 1):
                await self._lock(host, row, told, network)
                raise ForbiddenError(
                    f"The key of {host.name} was copied: generation {told.number} was used before.",
                    hint=f"Find out who copied it; then: cybercorp hosts approve {host.name}",
                    code="agent_cloned",
                )
            self._move(row, told)
        principal = Principal(
            kind=PrincipalKind.AGENT, id=host.id, name=host.name, rights=AGENT, host_id=host.id, network=network
        )
        try:
            await self._generations.settle(host.id)
        except StorageError:  # what is not durable must not be left behind: the agent stays with what it has
            if self._rows[host.id].state == AgentState.ACTIVE:
                return Admission(principal, proof.generation, proof.mark)
        if self._rows[host.id].state != AgentState.ACTIVE:  # another instance was first with a copy
            raise _refusal(host, self._rows[host.id])
        return Admission(principal, told.number + 1, new_mark())

    def confirm(self, host: LiveHost, generation: int, mark: str) -> None:
        """The agent has kept the generation that it was handed: others are copies from now on."""
        row = self._rows.get(host.id)
        if row is not None and row.state == AgentState.ACTIVE and generation == row.generation + 1:
            self._move(row, kept(generation, mark))

    async def save(self) -> None:
        """Write the generations that have moved. Raises StorageError; then they are tried again."""
        await self._generations.save()

    async def look(self) -> None:
        """What other instances have decided: whom they admit no more is cut off here too. Raises StorageError."""
        if not self._shared:
            return
        states = await self._agents.shut_out()
        for host_id, row in list(self._rows.items()):
            if states.get(host_id, AgentState.ACTIVE) != row.state:
                found = await self._agents.find(host_id)
                if found is not None:
                    self._take(found)

    async def approve(self, actor: Principal, host: LiveHost) -> None:
        """Admit a host that waits, or that was locked: then whoever proves itself first is it. Raises ConflictError."""
        row = self._rows.get(host.id)
        if row is None or row.state == AgentState.RETIRED:
            what = "is retired" if row else "has no key yet"
            raise ConflictError(f"{host.name} {what}.", hint="Join it: cybercorp enroll.", code="not_approvable")
        anew = row.state == AgentState.LOCKED
        self._generations.forget(host.id)
        await self._decide(host, AgentState.ACTIVE, "approved", by=actor.name, anew=anew)

    async def retire(self, actor: Principal, host: LiveHost) -> None:
        """Its agent never returns; its history stays."""
        await self._decide(host, AgentState.RETIRED, "retired", by=actor.name)

    async def forget(self, host_id: str) -> None:
        """The host was removed."""
        self._rows.pop(host_id, None)
        self._generations.forget(host_id)
        await self._agents.remove(host_id)

    async def _current(self, host_id: str) -> AgentRow | None:
        """As all instances know it; where the records cannot be read or written, as this one does."""
        with contextlib.suppress(StorageError):
            if not self._shared:  # a look costs more than the whole proof
                return self._rows.get(host_id)
            await self._generations.settle(host_id)
            found = await self._agents.find(host_id)
            if found is not None and host_id in self._rows and host_id not in self._generations:
                self._take(found)
        return self._rows.get(host_id)

    def _move(self, row: AgentRow, to: Generation) -> None:
        self._rows[row.host_id] = row.moved(to)
        self._generations.move(row.host_id, to)

    def _take(self, row: AgentRow) -> None:
        """This is how it stands in the records."""
        before, self._rows[row.host_id] = self._rows.get(row.host_id), row
        host = self._fleet.find(row.host_id)
        if host is not None:
            host.agent_state = row.state
            if row.state != AgentState.ACTIVE and (before is None or before.state == AgentState.ACTIVE):
                self.on_shut_out(host)

    async def _decide(
        self, host: LiveHost, state: AgentState, reason: str, *, by: str | None = None, anew: bool = False
    ) -> None:
        found = await self._agents.decide(host.id, state, by=by, at_ms=self._clock.now_ms(), reason=reason, anew=anew)
        if found is not None:
            self._take(found)

    async def _moved_elsewhere(self, row: AgentRow) -> None:
        """What this instance wrote does not stand: decided by another one, or handed on to somebody else there."""
        host, own = self._fleet.find(row.host_id), self._rows.get(row.host_id)
        if row.state == AgentState.ACTIVE and host is not None and own is not None:
            self._rows[row.host_id] = msgspec.structs.replace(
                own, state=AgentState.LOCKED
            )  # also if that is not durable
            await self._lock(host, row, own.kept, "another instance of this server")
        else:
            self._take(row)

    async def _lock(self, host: LiveHost, row: AgentRow, told: Generation, network: str) -> None:
        """Raises StorageError where this cannot be written down; then nothing is locked, and nobody admitted."""
        reason = f"generation {told.number} came from {network}, {row.generation} is current"
        _LOG.warning("the key of a host was copied: %s", reason)
        async with self._audit.intend(
            "host.clone",
            actor=None,
            decision=Decision.REFUSED,
            target_kind="host",
            target_id=host.id,
            target=host.name,
            network=network,
            detail={"reason": reason},
        ):
            self._generations.forget(host.id)
            await self._decide(host, AgentState.LOCKED, reason)
            self.on_shut_out(host)
        text = f"The key of {host.name} was seen in two places; its agents are locked out."
        await self._events.note_host(EventKind.AGENT_REFUSED, host, text, severity=Severity.ERROR)


def _refusal(host: LiveHost, row: AgentRow) -> ForbiddenError:
    what, hint, code = _REFUSALS[AgentState(row.state)]
    return ForbiddenError(f"{host.name} {what}.", hint=hint.format(name=host.name), code=code)
