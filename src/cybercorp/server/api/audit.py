"""REST: the audit trail."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.audit import EXPORT_MEDIA_TYPE, AuditKey, AuditPage, AuditVerification, Decision
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.responses import problems
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_MAX = 1 << 62


class AuditController(Controller):
    """The audit trail: who did what, whether it was allowed, and what came of it."""

    path = "/api/v1/audit"
    tags = ["audit"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="Page through the audit trail", opt={"permission": Permission.AUDIT_READ}, responses=problems())
    async def list_records(
        self,
        services: NamedDependency[Services],
        after: Annotated[int | None, QueryParameter(ge=0, le=_MAX, description="Only records after this id.")] = None,
        before: Annotated[int | None, QueryParameter(ge=0, le=_MAX, description="Only records before this id.")] = None,
        since_ms: Annotated[
            int | None, QueryParameter(ge=0, le=_MAX, description="Not before this time, Unix milliseconds.")
        ] = None,
        until_ms: Annotated[
            int | None, QueryParameter(ge=0, le=_MAX, description="Before this time, Unix milliseconds.")
        ] = None,
        operation: Annotated[
            list[str] | None,
            QueryParameter(max_items=50, description="Only these operations, such as user.create or login.*."),
        ] = None,
        actor: Annotated[str | None, QueryParameter(max_length=300, description="Only by this name or id.")] = None,
        target: Annotated[str | None, QueryParameter(max_length=300, description="Only of this name or id.")] = None,
        decision: Annotated[Decision | None, QueryParameter(description="Only what was allowed, or refused.")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000, description="How many records to answer.")] = 100,
        newest: Annotated[bool, QueryParameter(description="The newest of the range instead of its oldest.")] = False,
    ) -> AuditPage:
        """Records oldest first; `next_after` continues the list."""
        return await services.audit.page(
            after=after,
            before=before,
            since_ms=since_ms,
            until_ms=until_ms,
            operations=operation or (),
            actor=actor,
            target=target,
            decision=decision,
            limit=limit,
            newest=newest,
        )

    @get(
        "/verification",
        summary="Verify the audit trail",
        opt={"permission": Permission.AUDIT_READ},
        responses=problems(503),
    )
    async def verify(
        self,
        services: NamedDependency[Services],
        count: Annotated[
            int | None, QueryParameter(ge=1, le=_MAX, description="How many records an earlier check found.")
        ] = None,
        head: Annotated[
            str | None, QueryParameter(pattern="^[0-9a-f]{64}$", description="The last hash that it found.")
        ] = None,
    ) -> AuditVerification:
        """Check every record, checkpoint and line of the second copy; `finding` names the first that is wrong."""
        if (count is None) != (head is None):
            raise InvalidInputError("An earlier check is a count and a head.", hint="Give both, or none.")
        return await services.audit.verify((count, head) if count is not None and head is not None else None)

    @get("/keys", summary="Keys of the audit trail", opt={"permission": Permission.AUDIT_READ}, responses=problems())
    async def keys(self, services: NamedDependency[Services]) -> list[AuditKey]:
        """The public keys (Ed25519) that signed the checkpoints, newest first."""
        return await services.audit.keys()

    @get(
        "/export",
        summary="Export the audit trail",
        opt={"permission": Permission.AUDIT_READ, "audit": "audit.export"},
        responses=problems(503),
        media_type=EXPORT_MEDIA_TYPE,
    )
    async def export(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> Stream:
        """Keys, checkpoints and every record as JSON lines, which `cybercorp audit verify FILE` checks anywhere."""
        principal.require_step_up(services.clock.now_ms())
        return Stream(
            services.audit.export(),
            media_type=EXPORT_MEDIA_TYPE,
            headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
        )
