"""What an agent and a server say to each other: enrolment, hello, catalogue, durable records, acknowledgement.

An agent's durable output is a *stream* of records with sequence numbers that start at 1 and have no holes. The
server acknowledges a sequence number after everything up to it is durably committed; a record that arrives twice is
recognised by (host, stream, seq).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Catalogue, Series

MAX_RECORDS_BYTES = 192 * 1024  # a message of records stays below the socket's 256 KiB


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Sent once with an enrolment token. `public_key` is of the key that the agent made on its host (Ed25519, hex)."""

    name: str
    public_key: str
    facts: HostFacts = msgspec.field(default_factory=HostFacts)


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`pins` are those by which the agent knows the server from now on; none where it has no authority of its own.

    `state` is `pending` where somebody must approve the host first.
    """

    host_id: str
    name: str
    pins: list[str] = []
    state: str = "active"


class EnrolmentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for enrolment tokens: `count` of them, each good for one host and for an hour at most."""

    expires_in_s: int = 3600
    count: int = 1
    labels: dict[str, str] = {}


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """Enrolment tokens, shown once, each good for one host; and the pins of the server's authority.

    `address` is how other machines reach the server; empty where none does, or none is known.
    """

    tokens: list[str]
    expires_at_ms: int
    pins: list[str] = []
    address: str = ""

    @property
    def token(self) -> str:
        """The first one."""
        return self.tokens[0]

    def __repr__(self) -> str:
        return f"Enrolment({len(self.tokens)} tokens, expires_at_ms={self.expires_at_ms})"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """The server's first message to an agent: what to sign."""

    nonce: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: Ed25519 over nonce, host, generation, mark and the certificate that was seen (SHA-256; empty: none).

    `generation` and `mark` are what the last welcome handed out that the agent has kept.
    """

    host_id: str
    generation: int
    server_key: str
    signature: str
    mark: str = ""


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """The agent has kept the generation that the welcome handed it; sent before anything else."""

    generation: int


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's first message. `stream` names its spool, which holds `oldest_seq`…`newest_seq` (both 0: empty)."""

    version: str
    stream: str
    oldest_seq: int
    newest_seq: int
    interval_ms: int
    clock_ms: int
    facts: HostFacts = msgspec.field(default_factory=HostFacts)


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer: everything up to `acked_seq` of this stream is already durable here.

    `pins` and `authorities` (PEM) are those by which it is known from now on; none where it has no authority.
    `generation` and `mark` are what to keep, and to confirm.
    """

    host_id: str
    name: str
    acked_seq: int
    clock_ms: int
    version: str
    pins: list[str] = []
    authorities: str = ""
    generation: int = 0
    mark: str = ""


class AnnounceCatalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Sent before the first samples that refer to it, again on every connection."""

    id: str
    series: tuple[Series, ...]

    def to_catalogue(self) -> Catalogue:
        return Catalogue(id=self.id, series=self.series)


class RecordType(IntEnum):
    """What a record's body is."""

    SAMPLES = 1  # float64 little-endian, one per series of the catalogue; NaN where there is no value
    PROCESSES = 2  # MessagePack of ProcessTable: the top processes for history
    EVENT = 3  # MessagePack of AgentEvent


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One entry of an agent's stream. `catalogue` is the catalogue's id for samples, else empty."""

    seq: int
    timestamp_ms: int
    type: int
    catalogue: str
    body: bytes


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """Records in order of `seq`, without holes but those that a `samples.dropped` event reports."""

    records: list[Record]


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True):
    """Everything up to `seq` is durable."""

    seq: int


class Refuse(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing after `seq` could be stored (disk full, for example): keep it, send again after `retry_after_s`."""

    seq: int
    retry_after_s: float
    code: str
    detail: str


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody looks at right now. `processes_interval_ms` 0 means nobody watches the process table."""

    processes_interval_ms: int = 0
