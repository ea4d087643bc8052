"""What a server says about itself."""

from __future__ import annotations

import msgspec

PROTOCOL_VERSION = 1
PROTOCOL_HEADER = "CyberCorp-Protocol"
PINS_HEADER = "CyberCorp-Pins"  # over TLS with an authority of its own: by which keys the server is known from now on
SUBPROTOCOL_MSGPACK = "cybercorp.v1.msgpack"
SUBPROTOCOL_JSON = "cybercorp.v1.json"
MAX_MESSAGE_BYTES = 256 * 1024


class StorageTier(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier of history takes: `raw` rows, one-minute (`1m`) and one-hour (`1h`) rollups, `processes`.

    `rows` are rows or intervals, `values` those of all series together; times are null where the tier is empty.
    """

    name: str
    size_bytes: int = 0
    rows: int = 0
    values: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None


class ServerStorage(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes on disk, in bytes, and how far back history reaches.

    `unsealed_rows` are durable in the log and wait to be turned into chunks; `damaged` counts what was found damaged
    and is left out of every answer.
    """

    records_bytes: int = 0
    samples_bytes: int = 0
    free_bytes: int = 0
    oldest_ms: int | None = None
    samples_total: int = 0
    unsealed_rows: int = 0
    damaged: int = 0
    tiers: list[StorageTier] = []


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Version, protocol and load of the server that answers.

    `partial`: whoever asks sees some of the hosts only. Hosts and agents are counted of these, history reaches back as
    theirs does; viewers, samples and sizes, which would tell of the other hosts, are left at nothing.
    """

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
    partial: bool = False


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `ok` or `failing`; `reason` names what fails, without details an outsider could use."""

    status: str
    reason: str = ""
