"""Records of the audit trail as rows of a log: who stands where the host stands among events."""

from __future__ import annotations

from cybercorp.protocol.audit import AuditRecord, Decision, Outcome
from cybercorp.protocol.events import Event, Severity
from cybercorp.tui.state.events import EventWords

AUDIT_WORDS = EventWords(
    title="Audit record",
    heads=("WHO", "OPERATION", "WHAT CAME OF IT"),
    labels=("actor", "operation"),
    nobody="nobody",
)
_SEVERITIES = {
    Outcome.INTENT: Severity.INFO,
    Outcome.DONE: Severity.INFO,
    Outcome.FAILED: Severity.WARNING,
    Outcome.UNKNOWN: Severity.ERROR,
}


def as_event(record: AuditRecord) -> Event:
    """A record as the list shows it; its texts become safe where events do."""
    refused = record.decision is Decision.REFUSED
    said = "refused" if refused else "begun" if record.outcome is Outcome.INTENT else str(record.outcome)
    target = record.target or record.target_id
    why = record.detail.get("code") or record.detail.get("error") or record.detail.get("reason") or ""
    facts = {
        "actor kind": record.actor_kind,
        "actor id": record.actor_id,
        "session": record.session_id,
        "network": record.network,
        "target": " ".join(one for one in (record.target_kind, record.target, record.target_id) if one),
        "outcome of": f"{record.intent}" if record.intent is not None else "",
        "hash": record.hash,
    }
    return Event(
        id=record.id,
        time_ms=record.time_ms,
        kind=record.operation,
        severity=Severity.WARNING if refused else _SEVERITIES[record.outcome],
        message=" · ".join(one for one in (said, target, why) if one),
        host_id=None,
        host=record.actor or "nobody",
        attributes={**record.detail, **{key: value for key, value in facts.items() if value}},
    )
