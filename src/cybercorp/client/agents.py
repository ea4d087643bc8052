"""Agents: make enrolment tokens, and join with one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from cybercorp.client.addresses import is_loopback
from cybercorp.client.calls import Caller, complete
from cybercorp.protocol.agents import EnrolAnswer, Enrolment, EnrolmentRequest, EnrolRequest
from cybercorp.protocol.hosts import HostFacts


def join_command(url: str, token: str, pins: Sequence[str] = ()) -> str:
    """What to paste into a shell of the machine that joins; by the first pin it knows the server.

    The token stands in the environment: a command line can be read by everybody on that machine.
    """
    pin = f" --pin {shlex.quote(pins[0])}" if pins else ""
    return f"CYBERCORP_TOKEN={shlex.quote(token)} cybercorp agent join {shlex.quote(url)}{pin}"


def address_of(made: Enrolment, url: str) -> str:
    """How the machine that joins reaches the server: as we do (`url`), unless that reaches this machine alone."""
    return made.address if made.address and is_loopback(url) else url


class AsyncAgents:
    """Joining agents: `client.agents`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_enrolment(
        self, expires_in_s: int = 3600, count: int = 1, labels: Mapping[str, str] | None = None
    ) -> Enrolment:
        """`count` tokens with which one host each may join, within an hour at most; the hosts get these labels.

        They are shown once. Raises InvalidInputError.

        enrolment = await client.agents.create_enrolment(labels={"env": "prod"})
        print(join_command("https://monitor.example.com:8765", enrolment.token, enrolment.pins))
        """
        request = EnrolmentRequest(expires_in_s=expires_in_s, count=count, labels=dict(labels or {}))
        return await self._caller.call("POST", "/api/v1/agents/enrolments", Enrolment, body=request)

    async def enrol(self, token: str, name: str, public_key: str, facts: HostFacts | None = None) -> EnrolAnswer:
        """Join as a host of this name with an enrolment token and the public half of a key (Ed25519, hex).

        Raises UnauthenticatedError for a token that is unknown, used up or expired, ConflictError (`host_name_taken`).
        """
        request = EnrolRequest(name=name, facts=facts or HostFacts(), public_key=public_key)
        return await self._caller.call("POST", "/api/v1/agents/enrol", EnrolAnswer, body=request, token=token)


class Agents:
    """`AsyncAgents` without await."""

    def __init__(self, agents: AsyncAgents) -> None:
        self._agents = agents

    def create_enrolment(
        self, expires_in_s: int = 3600, count: int = 1, labels: Mapping[str, str] | None = None
    ) -> Enrolment:
        """See `AsyncAgents.create_enrolment`."""
        return complete(self._agents.create_enrolment(expires_in_s, count, labels))

    def enrol(self, token: str, name: str, public_key: str, facts: HostFacts | None = None) -> EnrolAnswer:
        """See `AsyncAgents.enrol`."""
        return complete(self._agents.enrol(token, name, public_key, facts))
