"""REST: how agents join."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from cybercorp.core.errors import AccessError
from cybercorp.protocol.agents import EnrolAnswer, Enrolment, EnrolmentRequest, EnrolRequest
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.guards import ANONYMOUS, network_of
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.bearer import bearer_token
from cybercorp.server.exposure import address_for_others
from cybercorp.server.services.refusals import Refusal
from cybercorp.server.wiring import Services


class AgentController(Controller):
    """Agents: make a token to join with, and join."""

    path = "/api/v1/agents"
    tags = ["agents"]  # noqa: RUF012 - Litestar declares it on the instance

    @post(
        "/enrolments",
        summary="Make enrolment tokens",
        opt={"permission": Permission.AGENT_ENROL, "audit": "enrolment.create"},
        responses=problems(413, 503),
    )
    async def create_enrolment(
        self, services: NamedDependency[Services], data: JSONBody[EnrolmentRequest]
    ) -> Enrolment:
        """Tokens that one agent each may join with, within an hour. They are shown once; only their hashes are kept."""
        made = await services.hosts.create_enrolment(data)
        address = address_for_others(services.settings, services.certificates.names)
        return msgspec.structs.replace(made, pins=services.certificates.pins, address=address)

    @post(
        "/enrol",
        summary="Join",
        opt={"permission": ANONYMOUS, "audit": BY_ITSELF},
        responses=problems(409, 413, 503),
    )
    async def enrol(
        self,
        request: Request[Any, Any, Any],
        services: NamedDependency[Services],
        data: JSONBody[EnrolRequest],
    ) -> EnrolAnswer:
        """Become a host. The bearer token is an enrolment token; the key is one that the agent made on its host."""
        network = network_of(request)
        try:
            made = await services.hosts.enrol(bearer_token(request.headers.get("authorization")), data, network)
        except AccessError as error:
            await services.refusals.note(
                Refusal(operation="host.join", actor=None, network=network, target="POST enrol", code=error.error_code)
            )
            raise
        return msgspec.structs.replace(made, pins=services.certificates.pins)
