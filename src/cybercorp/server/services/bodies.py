"""What the bodies of records hold: process tables and events, read, checked and cut to what the server can bear."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cybercorp.core.errors import MalformedMessageError
from cybercorp.protocol.agents import Record
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.events import AgentEvent
from cybercorp.protocol.processes import ProcessTable
from cybercorp.server.services.fleet import LiveHost
from cybercorp.store.records.events import NewEvent

FUTURE_MS = 86_400_000
_MAX_EVENT_TEXT = 2_000
_MAX_ATTRIBUTE_TEXT = 500
_MAX_EVENT_ATTRIBUTES = 32
_TABLE = msgspec.msgpack.Decoder(ProcessTable)
_EVENT = msgspec.msgpack.Decoder(AgentEvent)
COLUMNS = tuple(one.name for one in msgspec.structs.fields(ProcessTable) if one.name != "changes")
DecodedT = TypeVar("DecodedT")


def read_table(record: Record) -> ProcessTable:
    """The process table of a record. Raises MalformedMessageError."""
    table = _decode(_TABLE, record)
    check_table(table)
    return table


def check_table(table: ProcessTable) -> None:
    """Refuse a table whose columns differ in length. Raises MalformedMessageError."""
    lengths = {len(value) for name in COLUMNS if isinstance(value := getattr(table, name), list)}
    if len(lengths) > 1:
        raise MalformedMessageError("The columns of a process table differ in length.", hint="Update the agent.")


def read_event(host: LiveHost, record: Record, now_ms: int) -> NewEvent:
    """The event of a record; at an impossible time it happened now. Raises MalformedMessageError."""
    event, time_ms = _decode(_EVENT, record), record.timestamp_ms
    attributes = list(event.attributes.items())[:_MAX_EVENT_ATTRIBUTES]
    possible = 0 <= time_ms <= now_ms + FUTURE_MS
    return NewEvent(
        time_ms=time_ms if possible else now_ms,
        kind=event.kind[:64],
        severity=event.severity,
        message=event.message[:_MAX_EVENT_TEXT],
        host_id=host.id,
        host=host.name,
        attributes={key[:100]: value[:_MAX_ATTRIBUTE_TEXT] for key, value in attributes},
    )


def _decode(decoder: msgspec.msgpack.Decoder[DecodedT], record: Record) -> DecodedT:
    try:
        return decoder.decode(record.body)
    except UNREADABLE as error:
        raise MalformedMessageError(
            f"The body of record {record.seq} could not be read: {str(error)[:200]}.", hint="Update the agent."
        ) from error
