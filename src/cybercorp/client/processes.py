"""Processes of a host: now, or at a past instant."""

from __future__ import annotations

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.processes import HostProcesses, ProcessEvents


class AsyncProcesses:
    """The processes of hosts: `client.processes`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, host: str, at_ms: int | None = None) -> HostProcesses:
        """The process table of a host, column by column.

            answer = await client.processes.list("web-1")
            for pid, name, cpu in zip(answer.table.pid, answer.table.name, answer.table.cpu):
                print(pid, name, cpu)

        Without `at_ms` the agent is asked for a full table (`live=True`); where it does not answer within 3 s, the
        newest recorded selection comes back with `live=False`. Raises NotFoundError.
        """
        path = f"/api/v1/hosts/{segment(host)}/processes"
        return await self._caller.call("GET", path, HostProcesses, params=[("at_ms", at_ms)])

    async def events(
        self,
        host: str,
        since_ms: int | None = None,
        until_ms: int | None = None,
        *,
        name: str | None = None,
        limit: int = 1000,
    ) -> ProcessEvents:
        """Which processes of a host began and ended in a span (Unix ms; the last hour), oldest first, a week at most.

            answer = await client.processes.events("web-1", name="postgres")

        They are found by comparing tables recorded every ten seconds: what lived between two of them was never seen.
        `name` is part of a name or a command line. Raises NotFoundError, InvalidInputError.
        """
        path = f"/api/v1/hosts/{segment(host)}/processes/events"
        params = [("since_ms", since_ms), ("until_ms", until_ms), ("name", name), ("limit", limit)]
        return await self._caller.call("GET", path, ProcessEvents, params=params)


class Processes:
    """`AsyncProcesses` without await."""

    def __init__(self, processes: AsyncProcesses) -> None:
        self._processes = processes

    def list(self, host: str, at_ms: int | None = None) -> HostProcesses:
        """See `AsyncProcesses.list`."""
        return complete(self._processes.list(host, at_ms))

    def events(
        self,
        host: str,
        since_ms: int | None = None,
        until_ms: int | None = None,
        *,
        name: str | None = None,
        limit: int = 1000,
    ) -> ProcessEvents:
        """See `AsyncProcesses.events`."""
        return complete(self._processes.events(host, since_ms, until_ms, name=name, limit=limit))
