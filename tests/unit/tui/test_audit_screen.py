"""The audit trail on the dashboard: newest first, filtered by who and what, with everything about a record."""

from __future__ import annotations

from cybercorp.core.errors import ForbiddenError
from cybercorp.protocol.audit import GENESIS, AuditRecord, Decision, Outcome
from cybercorp.tui.screens.audit import AuditScreen
from cybercorp.tui.screens.event_details import EventDialog
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, summary


def record(number: int, **values: object) -> AuditRecord:
    given = {
        "operation": "host.change",
        "actor": "ada",
        "target": f"web-{number}",
        "decision": Decision.ALLOWED,
        "outcome": Outcome.DONE,
        "detail": {},
        **values,
    }
    texts = dict.fromkeys(("actor_kind", "actor_id", "session_id", "network", "target_kind", "target_id"), "")
    return AuditRecord(
        id=number,
        time_ms=START_MS - 1_000_000 + number * 1_000,
        intent=None,
        previous=GENESIS,
        hash=GENESIS,
        **{**texts, **given},  # type: ignore[arg-type]
    )


def audited(count: int) -> FakeClient:
    client = FakeClient([summary(1)])
    client.trail = [record(number) for number in range(1, count + 1)]
    return client


async def opened(seat: Seat) -> AuditScreen:
    await seat.press("a")
    await seat.until(lambda: isinstance(seat.app.front, AuditScreen))
    screen = seat.app.front
    assert isinstance(screen, AuditScreen)
    return screen


async def test_who_did_what() -> None:
    """`a` shows the newest first: who, the operation, what came of it; a refusal with ▲."""
    client = audited(30)
    client.trail.append(
        record(
            31, operation="request.refuse", actor="eve\x1b[2J", decision=Decision.REFUSED, detail={"code": "forbidden"}
        )
    )
    async with dashboard(client=client) as seat:
        await opened(seat)
        await seat.sees("done · web-30")
        await seat.sees("eve\\x1b[2J")
        line = next(one for one in seat.lines() if "request.refuse" in one)
        assert line[2] == "▲"
        assert "refused · web-31 · forbidden" in line


async def test_filter_and_details() -> None:
    """By actor and operation; Enter tells everything, also the hash."""
    client = audited(10)
    client.trail.append(record(11, actor="bob", operation="login.password", network="192.0.2.7"))
    async with dashboard(client=client) as seat:
        screen = await opened(seat)
        await seat.press("slash", *"actor=bob operation=login", "enter")
        await seat.until(lambda: screen.model.count == 1)
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, EventDialog))
        await seat.sees("192.0.2.7")
        await seat.sees("Audit record")


async def test_new_records_come_by_themselves() -> None:
    """What is done while one looks comes to the top."""
    async with dashboard(client=audited(5)) as seat:
        screen = await opened(seat)
        await seat.until(lambda: screen.model.loaded == 5)
        seat.client.trail.append(record(6))
        screen.look()
        await seat.sees("done · web-6")
        assert seat.client.calls[-1] == ("audit.list", None)


async def test_who_may_not_read_it_is_told() -> None:
    """The reason of the server, and no empty list."""
    async with dashboard(client=audited(5)) as seat:
        seat.client.failure = ForbiddenError("You may not do this (it needs audit:read).")
        await opened(seat)
        await seat.sees("The audit trail cannot be read")
        await seat.sees("audit:read")
