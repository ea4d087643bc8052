"""Where somebody is logged in."""

from __future__ import annotations

import msgspec

from cybercorp.protocol.logins import ClientType


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in that has not ended. `network` is where it was begun; times are Unix milliseconds."""

    id: str
    user_id: str
    user: str
    client: ClientType
    network: str
    user_agent: str
    factors: list[str]
    created_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    is_this: bool = False
