"""Keys on the wire: their numbers, states and ages. No key itself ever leaves the server."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DataKeyState(StrEnum):
    """One key encrypts. A coming one only decrypts until every server has it; an old one until nothing needs it."""

    COMING = "coming"
    CURRENT = "current"
    OLD = "old"
    RETIRED = "retired"


class DataKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that encrypts what is stored. A retired one is destroyed; its number stays."""

    id: int
    state: DataKeyState
    created_at_ms: int
    retired_at_ms: int | None = None


class KeyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`key_encryption_key` names the key that wraps the data keys, without telling it.

    `chunks_waiting` are stretches of process history that may not be encrypted with the current key yet.
    """

    key_encryption_key: str
    keys: list[DataKey]
    chunks_waiting: int = 0

    @property
    def rotating(self) -> bool:
        """Whether a rotation is going on."""
        return any(one.state in (DataKeyState.COMING, DataKeyState.OLD) for one in self.keys)
