"""What authentication and authorisation cost: CPU of an API request, and of an agent's connection beside its rows.

    python -m benchmarks.auth_cost [REQUESTS]

API: `GET /api/v1/hosts` of an empty fleet through the whole application (gate, audit, guard, handler, encoding), by a
person with a session and by a program with a token, with the guard and, turn and turn about, with one that admits
whoever comes; then by a viewer of 20 teams on a fleet of 1,000 hosts, beside the owner, who sees all of them without
a look at their labels. Agents: the challenge, the proof and the next generation of one connection, without the socket
and the later write of generations; benchmarks.ingest_auth measures what that is of the ingest path.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, report
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.agents import Proof
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.logins import ClientType
from cybercorp.protocol.roles import NewApiToken, NewBinding
from cybercorp.protocol.users import NewUser
from cybercorp.security.agent_keys import new_agent_key, new_nonce, sign_proof
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.app import make_app
from cybercorp.server.services.principals import LOCAL_OWNER, Principal
from cybercorp.server.settings import ServerSettings
from cybercorp.server.wiring import Services, make_services
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings

REQUESTS, TURNS, CONNECTIONS = 400, 7, 400
API_BAR_MS = 1.0
HOSTS, TEAMS, FLEET_REQUESTS = 1_000, 20, 10


@contextlib.asynccontextmanager
async def _services() -> AsyncIterator[Services]:
    with tempfile.TemporaryDirectory(prefix="cybercorp-auth-") as name:
        folder, clock = Path(name), SystemClock()
        records = await Records.open(folder / "records.db")
        store = TimeSeries.open(folder / "samples.db", TimeSeriesSettings(), clock)
        settings = ServerSettings(data_dir=name, password_memory_kib=19_456)
        services = make_services(settings, clock, records, store, Vault({1: new_key()}, 1))
        await services.policy.load()
        try:
            yield services
        finally:
            await services.audit.close()
            services.metrics.close()
            services.ingest.close()
            store.close()
            await records.close()


async def _ask(app: Any, token: str, address: str) -> None:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/hosts",
        "raw_path": b"/api/v1/hosts",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + token.encode())],
        "client": (address, 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent


async def _turns(
    first: Callable[[], Awaitable[None]], second: Callable[[], Awaitable[None]], count: int
) -> list[float]:
    """CPU seconds of one of each, medians of turns."""
    spent: list[list[float]] = [[], []]
    for turn in range(TURNS):
        for place in (0, 1) if turn % 2 else (1, 0):
            work = (first, second)[place]
            began = time.process_time()
            for _ in range(count):
                await work()
            spent[place].append((time.process_time() - began) / count)
    return [statistics.median(one) for one in spent]


async def requests(services: Services, count: int) -> list[Result]:
    """With the guard and without, by a session and by a token."""
    await services.users.create(LOCAL_OWNER, NewUser(name="ada", role="operator"))
    for number in range(20):  # a person has some bindings, not one
        scope = f"team=t{number}"
        await services.roles.bind(LOCAL_OWNER, NewBinding(user="ada", role="viewer", scope=scope))
    user = await services.records.users.get("ada")
    begun = await services.sessions.begin(user, ClientType.CLI, "192.0.2.1", "bench", frozenset({"pwd", "totp"}))
    person = await services.sessions.authenticate(begun.access_token, "192.0.2.1")
    made = await services.api_tokens.create(person, NewApiToken(name="bench"))
    app: Any = make_app(services)
    guard, limit = services.access.authenticate, services.limits.take

    async def admit(token: str | None, network: str = "") -> Principal:
        return person

    async def uncounted(*arguments: Any, **options: Any) -> None:
        return

    results = []
    for who, token in (("a person's session", begun.access_token), ("a program's token", made.token)):
        number = 0

        async def guarded(token: str = token) -> None:
            nonlocal number
            number += 1
            services.access.authenticate = guard  # type: ignore[method-assign]
            services.limits.take = limit  # type: ignore[method-assign]
            await _ask(app, token, f"198.51.{number // 200 % 200}.{number % 200}")

        async def admitted(token: str = token) -> None:
            services.access.authenticate = admit  # type: ignore[method-assign]
            services.limits.take = uncounted  # type: ignore[method-assign]
            await _ask(app, token, "192.0.2.1")

        on, off = await _turns(guarded, admitted, count)
        results += [
            Result(work="an API request", figure=f"{who}: all of it", value=on * 1e3, unit="ms CPU"),
            Result(
                work="an API request",
                figure=f"{who}: who it is, its rights and limits",
                value=(on - off) * 1e3,
                unit="ms CPU",
                bar=API_BAR_MS,
            ),
        ]
    services.access.authenticate = guard  # type: ignore[method-assign]
    services.limits.take = limit  # type: ignore[method-assign]
    return results


async def fleet(services: Services) -> list[Result]:
    """Every host of a fleet looked up in the scopes of a viewer, beside the owner of the same fleet."""
    for number in range(HOSTS):
        team = {"team": f"t{number % TEAMS}"}
        services.fleet.add(await services.records.hosts.create(f"db-{number}", team, HostFacts(), 1))
    await services.users.create(LOCAL_OWNER, NewUser(name="grace"))
    for number in range(TEAMS):
        await services.roles.bind(LOCAL_OWNER, NewBinding(user="grace", role="viewer", scope=f"team=t{number}"))
    user = await services.records.users.get("grace")
    begun = await services.sessions.begin(user, ClientType.CLI, "192.0.2.1", "bench", frozenset({"pwd", "totp"}))
    app: Any = make_app(services)
    guard, limit = services.access.authenticate, services.limits.take
    number = 0

    async def admit(token: str | None, network: str = "") -> Principal:
        return LOCAL_OWNER

    async def uncounted(*arguments: Any, **options: Any) -> None:
        return

    async def scoped() -> None:
        nonlocal number
        number += 1
        services.access.authenticate = guard  # type: ignore[method-assign]
        services.limits.take = limit  # type: ignore[method-assign]
        await _ask(app, begun.access_token, f"198.51.{number // 200 % 200}.{number % 200}")

    async def owned() -> None:
        services.access.authenticate = admit  # type: ignore[method-assign]
        services.limits.take = uncounted  # type: ignore[method-assign]
        await _ask(app, begun.access_token, "192.0.2.1")

    on, off = await _turns(scoped, owned, FLEET_REQUESTS)
    services.access.authenticate = guard  # type: ignore[method-assign]
    services.limits.take = limit  # type: ignore[method-assign]
    figure = f"a viewer of {TEAMS} teams, {HOSTS:,} hosts: who it is, what it may"
    return [Result(work="an API request", figure=figure, value=(on - off) * 1e3, unit="ms CPU", bar=API_BAR_MS)]


async def connections(services: Services, count: int) -> list[Result]:
    """The server's part of an agent's proof."""
    key = new_agent_key()
    row = await services.records.hosts.create("web-1", {}, HostFacts(), 1)
    host = services.fleet.add(row)
    await services.agent_keys.enrol(row.id, key.public, "192.0.2.1")
    proofs = []
    for _ in range(count):
        nonce = new_nonce()
        signed = sign_proof(key.private, nonce, row.id, 1, "")
        proofs.append((nonce, Proof(host_id=row.id, generation=1, server_key="", signature=signed)))
    spent = []
    for turn in range(TURNS):
        began = time.process_time()
        for nonce, proof in proofs[turn::TURNS]:
            new_nonce()
            await services.agent_keys.prove(host, proof, nonce, (), "192.0.2.1")
        spent.append((time.process_time() - began) / len(proofs[turn::TURNS]))
    cost_us = statistics.median(spent) * 1e6
    return [
        Result(work="an agent's connection", figure="challenge, proof, generation", value=cost_us, unit="µs CPU"),
    ]


async def _measure(count: int) -> list[Result]:
    async with _services() as services:
        return [*await requests(services, count), *await connections(services, CONNECTIONS), *await fleet(services)]


def measure(count: int = REQUESTS) -> list[Result]:
    """All of it."""
    return asyncio.run(_measure(count))


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
