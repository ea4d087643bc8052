"""REST: users."""

from __future__ import annotations

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.users import NewUser, User, UserChange
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_ADMIN = {"permission": Permission.USERS_ADMIN, "audit": BY_ITSELF}


class UserController(Controller):
    """Users: people who log in, and service accounts, which only have tokens."""

    path = "/api/v1/users"
    tags = ["users"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="List users", opt={"permission": Permission.USERS_VIEW}, responses=problems())
    async def list_users(self, services: NamedDependency[Services]) -> list[User]:
        """All users by name, with their roles and the kinds of their second factors."""
        return await services.users.list_()

    @get("/{user:str}", summary="One user", opt={"permission": Permission.USERS_VIEW}, responses=problems(404))
    async def get_user(self, services: NamedDependency[Services], user: FromPath[str]) -> User:
        """A user by name or id."""
        return await services.users.get(user)

    @post("/", summary="Make a user", opt=_ADMIN, responses=problems(409, 413, 429, 503))
    async def create_user(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewUser]
    ) -> User:
        """A person or a service account, with a role where one is given."""
        principal.require_step_up(services.clock.now_ms())
        return await services.users.create(principal, data)

    @patch("/{user:str}", summary="Change a user", opt=_ADMIN, responses=problems(404, 409, 413, 429, 503))
    async def change_user(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        user: FromPath[str],
        data: JSONBody[UserChange],
    ) -> User:
        """Another name to show, a new password, disabled or not. A new password ends all sessions."""
        principal.require_step_up(services.clock.now_ms())
        return await services.users.change(principal, user, data)

    @delete("/{user:str}", summary="Remove a user", opt=_ADMIN, responses=problems(404, 409, 503))
    async def remove_user(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], user: FromPath[str]
    ) -> None:
        """The user is gone, with sessions, roles and tokens; the name is never given again."""
        principal.require_step_up(services.clock.now_ms())
        await services.users.remove(principal, user)

    @delete("/{user:str}/mfa", summary="Remove a user's second factors", opt=_ADMIN, responses=problems(404, 503))
    async def reset_factors(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], user: FromPath[str]
    ) -> None:
        """For somebody who lost them all; ends their sessions."""
        principal.require_step_up(services.clock.now_ms())
        await services.users.reset_factors(principal, user)
