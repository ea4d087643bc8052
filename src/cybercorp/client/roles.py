"""Roles and bindings: who may do what, where and how long."""

from __future__ import annotations

import builtins

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.roles import Binding, Effect, NewBinding, NewRole, Role

_ROLES, _BINDINGS = "/api/v1/roles", "/api/v1/bindings"


class AsyncRoles:
    """Sets of permissions: `client.roles`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> builtins.list[Role]:
        """Those that ship, then those that were made."""
        return await self._caller.call("GET", _ROLES, builtins.list[Role])

    async def create(self, name: str, permissions: builtins.list[str], description: str = "") -> Role:
        """Raises ConflictError (`role_taken`), ForbiddenError (`grants_more`)."""
        body = NewRole(name=name, permissions=permissions, description=description)
        return await self._caller.call("POST", _ROLES, Role, body=body)

    async def remove(self, role: str) -> None:
        """One that nobody is bound to."""
        await self._caller.call("DELETE", f"{_ROLES}/{segment(role)}", type(None))


class AsyncBindings:
    """Who has which role: `client.bindings`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, user: str | None = None) -> builtins.list[Binding]:
        """Those that hold, of all or of one user."""
        return await self._caller.call("GET", _BINDINGS, builtins.list[Binding], params=[("user", user)])

    async def create(
        self,
        user: str,
        role: str,
        scope: str = "",
        *,
        deny: bool = False,
        expires_in_s: int | None = None,
        reason: str = "",
    ) -> Binding:
        """On the hosts whose labels `scope` means (`env=prod`), or everywhere. A denial wins over allowances."""
        effect = Effect.DENY if deny else Effect.ALLOW
        body = NewBinding(user=user, role=role, scope=scope, effect=effect, expires_in_s=expires_in_s, reason=reason)
        return await self._caller.call("POST", _BINDINGS, Binding, body=body)

    async def remove(self, binding: str) -> None:
        """It ends at once."""
        await self._caller.call("DELETE", f"{_BINDINGS}/{segment(binding)}", type(None))


class Roles:
    """`AsyncRoles` without await."""

    def __init__(self, roles: AsyncRoles) -> None:
        self._roles = roles

    def list(self) -> builtins.list[Role]:
        """See `AsyncRoles.list`."""
        return complete(self._roles.list())

    def create(self, name: str, permissions: builtins.list[str], description: str = "") -> Role:
        """See `AsyncRoles.create`."""
        return complete(self._roles.create(name, permissions, description))

    def remove(self, role: str) -> None:
        """See `AsyncRoles.remove`."""
        complete(self._roles.remove(role))


class Bindings:
    """`AsyncBindings` without await."""

    def __init__(self, bindings: AsyncBindings) -> None:
        self._bindings = bindings

    def list(self, user: str | None = None) -> builtins.list[Binding]:
        """See `AsyncBindings.list`."""
        return complete(self._bindings.list(user))

    def create(
        self,
        user: str,
        role: str,
        scope: str = "",
        *,
        deny: bool = False,
        expires_in_s: int | None = None,
        reason: str = "",
    ) -> Binding:
        """See `AsyncBindings.create`."""
        return complete(self._bindings.create(user, role, scope, deny=deny, expires_in_s=expires_in_s, reason=reason))

    def remove(self, binding: str) -> None:
        """See `AsyncBindings.remove`."""
        complete(self._bindings.remove(binding))
