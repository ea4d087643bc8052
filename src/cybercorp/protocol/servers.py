"""What a server says about itself."""

from __future__ import annotations

import msgspec

PROTOCOL_VERSION = 1
PROTOCOL_HEADER = "CyberCorp-Protocol"
SUBPROTOCOL_MSGPACK = "cybercorp.v1.msgpack"
SUBPROTOCOL_JSON = "cybercorp.v1.json"
MAX_MESSAGE_BYTES = 256 * 1024


class ServerStorage(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes on disk, in bytes, and how far back history reaches.

    `unsealed_rows` are durable in the log and wait to be turned into chunks.
    """

    records_bytes: int = 0
    samples_bytes: int = 0
    free_bytes: int = 0
    oldest_ms: int | None = None
    samples_total: int = 0
    unsealed_rows: int = 0


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Version, protocol and load of the server that answers."""

    version: str
    protocol: int
    instance: str
    started_at_ms: int
    clock_ms: int
    hosts: int
    agents_connected: int
    viewers_connected: int
    samples_per_second: float
    commit_p99_ms: float | None
    storage: ServerStorage


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `ok` or `failing`; `reason` names what fails, without details an outsider could use."""

    status: str
    reason: str = ""
