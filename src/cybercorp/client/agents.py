"""Agents: make enrolment tokens, and join with one."""

from __future__ import annotations

from collections.abc import Mapping

from cybercorp.client.calls import Caller, complete
from cybercorp.protocol.agents import EnrolAnswer, Enrolment, EnrolmentRequest, EnrolRequest
from cybercorp.protocol.hosts import HostFacts


class AsyncAgents:
    """Joining agents: `client.agents`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_enrolment(
        self, expires_in_s: int = 3600, uses: int = 1, labels: Mapping[str, str] | None = None
    ) -> Enrolment:
        """A token with which `uses` agents may join until it expires; their hosts get these labels. It is shown once.

        enrolment = await client.agents.create_enrolment(labels={"env": "prod"})
        print(f"cybercorp agent join http://… --token {enrolment.token}")
        """
        request = EnrolmentRequest(expires_in_s=expires_in_s, uses=uses, labels=dict(labels or {}))
        return await self._caller.call("POST", "/api/v1/agents/enrolments", Enrolment, body=request)

    async def enrol(self, token: str, name: str, facts: HostFacts | None = None) -> EnrolAnswer:
        """Join as a host of this name with an enrolment token; the answer holds the agent's own token.

        Raises UnauthenticatedError for a token that is unknown, used up or expired, ConflictError (`host_name_taken`).
        """
        request = EnrolRequest(name=name, facts=facts or HostFacts())
        return await self._caller.call("POST", "/api/v1/agents/enrol", EnrolAnswer, body=request, token=token)


class Agents:
    """`AsyncAgents` without await."""

    def __init__(self, agents: AsyncAgents) -> None:
        self._agents = agents

    def create_enrolment(
        self, expires_in_s: int = 3600, uses: int = 1, labels: Mapping[str, str] | None = None
    ) -> Enrolment:
        """See `AsyncAgents.create_enrolment`."""
        return complete(self._agents.create_enrolment(expires_in_s, uses, labels))

    def enrol(self, token: str, name: str, facts: HostFacts | None = None) -> EnrolAnswer:
        """See `AsyncAgents.enrol`."""
        return complete(self._agents.enrol(token, name, facts))
