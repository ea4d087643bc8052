"""Elevation: somebody asks for a role for a while, somebody else who has it decides, and it ends by itself."""

from __future__ import annotations

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.roles import Elevation, ElevationState, NewElevation, parse_scope
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.policy import Policy
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.roles import RoleService
from cybercorp.store.records.elevations import ElevationRepository, ElevationRow
from cybercorp.store.records.users import UserRepository

LONGEST_S = 12 * 3600
PENDING_MS = 24 * 3_600_000
MAX_PENDING = 10


class ElevationService:
    def __init__(
        self,
        elevations: ElevationRepository,
        users: UserRepository,
        roles: RoleService,
        policy: Policy,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._elevations = elevations
        self._users = users
        self._roles = roles
        self._policy = policy
        self._audit = audit
        self._clock = clock

    async def list_(self, principal: Principal) -> list[Elevation]:
        """One's own; with roles:view those of all."""
        own = None if principal.may(Permission.ROLES_VIEW) else principal.id
        names = {row.id: row.name for row in await self._users.list_()}
        return [self._shown(row, names.get(row.user_id, "")) for row in await self._elevations.list_(own)]

    async def request(self, principal: Principal, new: NewElevation) -> Elevation:
        """Raises InvalidInputError, ConflictError (too many wait), StorageError."""
        user_id = principal.person()
        self._roles.permissions_of(new.role)
        scope = self._roles.check_scope(new.scope)
        if not 60 <= new.duration_s <= LONGEST_S:
            raise InvalidInputError("An elevation lasts a minute to twelve hours.", hint="Ask for less: --for 1h.")
        if not new.reason.strip():
            raise InvalidInputError("Say why it is needed.", hint="Whoever decides reads it: --reason TEXT.")
        waiting = [one for one in await self._elevations.list_(user_id) if self._state(one) is ElevationState.PENDING]
        if len(waiting) >= MAX_PENDING:
            raise ConflictError(f"{MAX_PENDING} requests wait already.", hint="Cancel some: cybercorp access cancel.")
        row = ElevationRow(
            id=new_id("elevation"),
            user_id=user_id,
            role=new.role,
            scope=scope,
            duration_ms=new.duration_s * 1000,
            reason=new.reason[:500],
            state=ElevationState.PENDING,
            requested_at_ms=self._clock.now_ms(),
        )
        async with self._audit.intend(
            "access.request",
            actor=principal,
            target_kind="elevation",
            target_id=row.id,
            target=principal.name,
            detail={"role": row.role, "scope": row.scope, "reason": row.reason},
        ):
            await self._elevations.create(row)
        return self._shown(row, principal.name)

    async def decide(self, principal: Principal, id: str, *, approve: bool) -> Elevation:
        """Whoever decides is another person, and holds what is asked for.

        Raises NotFoundError, ForbiddenError (`own_request`, `grants_more`), ConflictError (`decided`), StorageError.
        """
        row = await self._pending(id)
        if row.user_id == principal.id:
            raise ForbiddenError(
                "Nobody decides on their own request.", hint="Ask somebody else who may.", code="own_request"
            )
        user = await self._users.get(row.user_id)
        if user.disabled_at_ms is not None:
            raise ConflictError(f"{user.name} is disabled.", hint="Deny it.", code="decided")
        scope = parse_scope(row.scope) if row.scope else None
        permissions = self._roles.permissions_of(row.role)
        until_ms = self._clock.now_ms() + row.duration_ms
        lacking = sorted(one for one in permissions if not principal.rights.covers(one, scope, until_ms))
        if approve and lacking:
            raise ForbiddenError(
                f"Nobody gives what they lack: {', '.join(lacking[:5])}.", hint="Ask an admin.", code="grants_more"
            )
        binding = None
        if approve:
            binding = self._roles.new_binding(
                principal.name,
                row.user_id,
                row.role,
                row.scope,
                duration_ms=row.duration_ms,
                reason=f"elevation {row.id}: {row.reason}",
            )
        state = ElevationState.APPROVED if approve else ElevationState.DENIED
        async with self._audit.intend(
            "access.approve" if approve else "access.deny",
            actor=principal,
            target_kind="elevation",
            target_id=row.id,
            target=user.name,
            detail={"role": row.role, "scope": row.scope},
        ):
            decided = await self._elevations.decide(
                id, state, principal.name, self._clock.now_ms(), pending=ElevationState.PENDING, binding=binding
            )
            if not decided:
                raise _decided()
            await self._policy.load()
        found = await self._elevations.find(id)
        return self._shown(found or row, user.name)

    async def cancel(self, principal: Principal, id: str) -> None:
        """One's own request, or an elevation that was approved: it ends now. Raises NotFoundError, StorageError."""
        row = await self._elevations.find(id)
        if row is None or (row.user_id != principal.id and not principal.may(Permission.ROLES_ADMIN)):
            raise _unknown()
        async with self._audit.intend(
            "access.cancel", actor=principal, target_kind="elevation", target_id=row.id, detail={"role": row.role}
        ):
            done = await self._elevations.decide(
                id,
                ElevationState.CANCELLED,
                principal.name,
                self._clock.now_ms(),
                pending=ElevationState.PENDING,
            )
            found = None if done else await self._elevations.find(id)  # it may have been approved meanwhile
            if found is not None and found.state == ElevationState.APPROVED and found.binding_id:
                await self._roles.end_binding(found.binding_id)
                await self._policy.load()

    async def _pending(self, id: str) -> ElevationRow:
        row = await self._elevations.find(id)
        if row is None:
            raise _unknown()
        if self._state(row) is not ElevationState.PENDING:
            raise _decided()
        return row

    def _state(self, row: ElevationRow) -> ElevationState:
        """What nobody decided within a day counts as cancelled."""
        state = ElevationState(row.state)
        late = self._clock.now_ms() - row.requested_at_ms > PENDING_MS
        return ElevationState.CANCELLED if state is ElevationState.PENDING and late else state

    def _shown(self, row: ElevationRow, user: str) -> Elevation:
        return Elevation(
            id=row.id,
            user_id=row.user_id,
            user=user,
            role=row.role,
            scope=row.scope,
            duration_ms=row.duration_ms,
            reason=row.reason,
            state=self._state(row),
            requested_at_ms=row.requested_at_ms,
            decided_by=row.decided_by,
            decided_at_ms=row.decided_at_ms,
            binding_id=row.binding_id,
        )


def _unknown() -> NotFoundError:
    return NotFoundError("There is no such request.", hint="List them: cybercorp access.", code="elevation_not_found")


def _decided() -> ConflictError:
    return ConflictError("This request was decided already.", hint="List them: cybercorp access.", code="decided")
