"""Gaps: what a full spool dropped, as one record of the stream that stands where the dropped ones stood.

The record has the number of the last one it replaces, so the stream keeps its order and a growing gap stays one record.
"""

from __future__ import annotations

import msgspec

from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.events import AgentEvent, EventKind, Severity

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AgentEvent)


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Records `first_seq … last_seq` of the stream, written `from_ms … to_ms`, are lost; `count` of them."""

    first_seq: int
    last_seq: int
    from_ms: int
    to_ms: int
    count: int
    reason: str = "spool_full"

    def joined(self, later: Gap) -> Gap:
        """This gap and the one that follows it, as one."""
        return Gap(
            first_seq=self.first_seq,
            last_seq=later.last_seq,
            from_ms=min(self.from_ms, later.from_ms),
            to_ms=max(self.to_ms, later.to_ms),
            count=self.count + later.count,
            reason=later.reason,
        )

    def record(self) -> Record:
        """The SAMPLES_DROPPED event at the place of the last record that is missing."""
        return Record(self.last_seq, self.to_ms, int(RecordType.EVENT), "", _ENCODER.encode(self._event()))

    def _event(self) -> AgentEvent:
        why = {
            "spool_full": "the spool was full",
            "spool_damaged": "the spool was damaged",
            "power_lost": "the machine stopped before they were on disk",
        }.get(self.reason, self.reason)
        records = "record" if self.count == 1 else "records"
        counted = f"Up to {self.count}" if self.reason == "power_lost" else f"{self.count}"
        return AgentEvent(
            kind=EventKind.SAMPLES_DROPPED,
            severity=Severity.WARNING,
            message=f"{counted} {records} lost: {why}.",
            attributes={
                "first_seq": str(self.first_seq),
                "last_seq": str(self.last_seq),
                "from_ms": str(self.from_ms),
                "to_ms": str(self.to_ms),
                "count": str(self.count),
                "reason": self.reason,
            },
        )


def read_gap(type: int, body: bytes) -> Gap | None:
    """The gap that a record reports, None for every other record."""
    if type != RecordType.EVENT:
        return None
    try:
        event = _DECODER.decode(body)
        if event.kind != EventKind.SAMPLES_DROPPED:
            return None
        return msgspec.convert(event.attributes, Gap, strict=False)
    except UNREADABLE:
        return None
