"""Users of a running server with sessions of any kind, without typing codes: what they may is what is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx

from cybercorp.protocol.logins import ClientType
from cybercorp.protocol.roles import NewBinding
from cybercorp.protocol.users import NewUser
from cybercorp.server.services.policy import OWNER
from cybercorp.server.services.principals import Principal, PrincipalKind
from tests.integration.serving import ServerThread

LOCAL_OWNER = Principal(kind=PrincipalKind.OWNER, id="owner", name="the local owner", rights=OWNER)
ResultT = TypeVar("ResultT")


def within(server: ServerThread, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run something in the server's own loop."""
    return asyncio.run_coroutine_threadsafe(work, server._loop).result(30)


def make_user(server: ServerThread, name: str, role: str | None = None, scope: str = "") -> str:
    """A user without a password, bound to a role; returns the id of the binding."""
    services = server.services
    within(server, services.users.create(LOCAL_OWNER, NewUser(name=name)))
    if role is None:
        return ""
    return within(server, services.roles.bind(LOCAL_OWNER, NewBinding(user=name, role=role, scope=scope))).id


def session_of(
    server: ServerThread,
    name: str,
    *,
    factors: frozenset[str] = frozenset({"pwd", "totp"}),
    stepped_up: bool = False,
    client: ClientType = ClientType.CLI,
) -> str:
    """The access token of a session of this user."""
    services = server.services

    async def begin() -> str:
        user = await services.records.users.get(name)
        tokens = await services.sessions.begin(user, client, "127.0.0.1", "test", factors)
        if not stepped_up:
            await services.records.sessions.step_up(tokens.session_id, 0, factors)
        return tokens.access_token

    return within(server, begin())


def ask(server: ServerThread, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
    """One request with this token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(
        method, server.url + path, headers=headers, trust_env=False, verify=False, timeout=20, **options
    )
