"""Every message of the protocol in one table: kind, payload, direction, permission. Dispatch is by this table.

The envelope is `{v, id, kind, payload}`; kinds are `noun.verb`. MessagePack for agents, terminal and library, JSON for
browsers, chosen by the WebSocket subprotocol. A kind without a permission does not exist: start-up fails.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from cybercorp.core.errors import MalformedMessageError, VersionMismatchError
from cybercorp.protocol import agents, live
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.servers import PROTOCOL_VERSION

Format = Literal["msgpack", "json"]


class Direction(StrEnum):
    AGENT_TO_SERVER = "agent→server"
    SERVER_TO_AGENT = "server→agent"
    VIEWER_TO_SERVER = "viewer→server"
    SERVER_TO_VIEWER = "server→viewer"
    SERVER_TO_ANY = "server→any"


class MessageType(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    payload: Any
    direction: Direction
    permission: Permission


_A, _S = Direction.AGENT_TO_SERVER, Direction.SERVER_TO_AGENT
_V, _W = Direction.VIEWER_TO_SERVER, Direction.SERVER_TO_VIEWER
_AGENT, _LIVE = Permission.AGENT_CONNECT, Permission.LIVE_CONNECT


def _table(*rows: tuple[str, Any, Direction, Permission]) -> dict[str, MessageType]:
    return {k: MessageType(kind=k, payload=p, direction=d, permission=q) for k, p, d, q in rows}


MESSAGES: Final[dict[str, MessageType]] = _table(
    ("agent.proof", agents.Proof, _A, _AGENT),
    ("agent.hello", agents.Hello, _A, _AGENT),
    ("agent.confirm", agents.Confirm, _A, _AGENT),
    ("agent.catalogue", agents.AnnounceCatalogue, _A, _AGENT),
    ("agent.records", agents.Records, _A, _AGENT),
    ("agent.processes", ProcessTable, _A, _AGENT),
    ("agent.challenge", agents.Challenge, _S, _AGENT),
    ("agent.welcome", agents.Welcome, _S, _AGENT),
    ("agent.acknowledge", agents.Acknowledge, _S, _AGENT),
    ("agent.refuse", agents.Refuse, _S, _AGENT),
    ("agent.watch", agents.Watch, _S, _AGENT),
    ("live.subscribe", live.Subscribe, _V, _LIVE),
    ("live.unsubscribe", live.Unsubscribe, _V, _LIVE),
    ("live.subscribed", live.Subscribed, _W, _LIVE),
    ("hosts.window", live.HostsUpdate, _W, Permission.HOSTS_VIEW),
    ("metrics.catalogue", live.MetricsCatalogueUpdate, _W, Permission.METRICS_VIEW),
    ("metrics.samples", live.MetricsUpdate, _W, Permission.METRICS_VIEW),
    ("processes.table", live.ProcessesUpdate, _W, Permission.PROCESSES_VIEW),
    ("events.appended", live.EventsUpdate, _W, Permission.EVENTS_VIEW),
    ("problem", Problem, Direction.SERVER_TO_ANY, _LIVE),
)

TOPIC_PERMISSIONS: Final[dict[live.Topic, Permission]] = {
    live.Topic.HOSTS: Permission.HOSTS_VIEW,
    live.Topic.METRICS: Permission.METRICS_VIEW,
    live.Topic.PROCESSES: Permission.PROCESSES_VIEW,
    live.Topic.EVENTS: Permission.EVENTS_VIEW,
}


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """`v` is the protocol version, `id` answers refer to (0: none), `payload` stays raw until its kind is known."""

    v: int
    kind: str
    payload: msgspec.Raw
    id: int = 0


class _Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    v: int
    kind: str
    payload: Any
    id: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded message: its kind, the typed payload, the envelope's id."""

    kind: str
    payload: Any
    id: int = 0


class Codec:
    """Encode and decode messages in one of the two formats."""

    def __init__(self, form: Format = "msgpack") -> None:
        self.format: Format = form
        module = msgspec.msgpack if form == "msgpack" else msgspec.json
        self._encoder = module.Encoder()
        self._envelope = module.Decoder(Envelope)
        self._payloads = {kind: module.Decoder(one.payload) for kind, one in MESSAGES.items()}

    def encode(self, kind: str, payload: Any, *, id: int = 0) -> bytes:
        """Bytes of one message. `payload` may be a `msgspec.Raw` that was encoded before."""
        data: bytes = self._encoder.encode(_Outgoing(v=PROTOCOL_VERSION, kind=kind, payload=payload, id=id))
        return data

    def encode_payload(self, payload: Any) -> msgspec.Raw:
        """Encode once what goes into many messages."""
        return msgspec.Raw(self._encoder.encode(payload))

    def decode(self, data: bytes | str, *directions: Direction) -> Message:
        """The typed message. `directions` are the ones the receiver accepts.

        Raises MalformedMessageError and VersionMismatchError.
        """
        envelope = self.decode_envelope(data, *directions)
        return Message(kind=envelope.kind, payload=self.decode_payload(envelope), id=envelope.id)

    def decode_envelope(self, data: bytes | str, *directions: Direction) -> Envelope:
        """Only the outer layer, checked, for receivers that pass a payload on without reading it."""
        if isinstance(data, str) and self.format == "msgpack":
            raise MalformedMessageError("A text arrived where MessagePack is spoken.", hint="Send binary messages.")
        try:
            envelope: Envelope = self._envelope.decode(data)
        except UNREADABLE as error:
            raise MalformedMessageError(
                f"A message could not be read: {str(error)[:200]}.", hint="Send {v, id, kind, payload}."
            ) from error
        if envelope.v != PROTOCOL_VERSION:
            raise VersionMismatchError(
                f"The other side speaks protocol {envelope.v}; this one speaks {PROTOCOL_VERSION}.",
                hint="Install the same CyberCorp version on both sides.",
            )
        known = MESSAGES.get(envelope.kind)
        if known is None or (directions and known.direction not in directions):
            raise MalformedMessageError(
                f"The message kind '{envelope.kind[:80]}' is unknown here.",
                hint="Update the sender or the receiver.",
                code="unknown_message",
            )
        return envelope

    def decode_payload(self, envelope: Envelope) -> Any:
        try:
            return self._payloads[envelope.kind].decode(envelope.payload)
        except UNREADABLE as error:
            raise MalformedMessageError(
                f"The payload of '{envelope.kind}' could not be read: {str(error)[:200]}.",
                hint="Update the sender.",
            ) from error
