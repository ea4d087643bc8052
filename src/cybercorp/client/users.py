"""Users: list, make, change, remove."""

from __future__ import annotations

import builtins

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.users import NewUser, User, UserChange, UserKind

_PATH = "/api/v1/users"


class AsyncUsers:
    """The users of a server: `client.users`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> builtins.list[User]:
        """All of them by name."""
        return await self._caller.call("GET", f"{_PATH}/", builtins.list[User])

    async def get(self, user: str) -> User:
        """One by name or id. Raises NotFoundError (`user_not_found`)."""
        return await self._caller.call("GET", _path(user), User)

    async def create(
        self,
        name: str,
        *,
        password: str | None = None,
        role: str | None = None,
        display_name: str = "",
        kind: UserKind = UserKind.PERSON,
    ) -> User:
        """Raises ConflictError (`user_name_taken`), InvalidInputError (`weak_password`), StepUpRequiredError."""
        body = NewUser(name=name, password=password, role=role, display_name=display_name, kind=kind)
        return await self._caller.call("POST", f"{_PATH}/", User, body=body)

    async def change(
        self,
        user: str,
        *,
        display_name: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
    ) -> User:
        """What is None stays. A new password, or disabling, ends the user's sessions."""
        body = UserChange(display_name=display_name, disabled=disabled, password=password)
        return await self._caller.call("PATCH", _path(user), User, body=body)

    async def remove(self, user: str) -> None:
        """The name is never given again."""
        await self._caller.call("DELETE", _path(user), type(None))

    async def reset_factors(self, user: str) -> None:
        """For somebody who lost all second factors; their sessions end."""
        await self._caller.call("DELETE", f"{_path(user)}/mfa", type(None))


class Users:
    """`AsyncUsers` without await."""

    def __init__(self, users: AsyncUsers) -> None:
        self._users = users

    def list(self) -> builtins.list[User]:
        """See `AsyncUsers.list`."""
        return complete(self._users.list())

    def get(self, user: str) -> User:
        """See `AsyncUsers.get`."""
        return complete(self._users.get(user))

    def create(
        self,
        name: str,
        *,
        password: str | None = None,
        role: str | None = None,
        display_name: str = "",
        kind: UserKind = UserKind.PERSON,
    ) -> User:
        """See `AsyncUsers.create`."""
        return complete(self._users.create(name, password=password, role=role, display_name=display_name, kind=kind))

    def change(
        self,
        user: str,
        *,
        display_name: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
    ) -> User:
        """See `AsyncUsers.change`."""
        return complete(self._users.change(user, display_name=display_name, disabled=disabled, password=password))

    def remove(self, user: str) -> None:
        """See `AsyncUsers.remove`."""
        complete(self._users.remove(user))

    def reset_factors(self, user: str) -> None:
        """See `AsyncUsers.reset_factors`."""
        complete(self._users.reset_factors(user))


def _path(user: str) -> str:
    return f"{_PATH}/{segment(user)}"
