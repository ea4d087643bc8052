"""Refusals: the first is told at once, a flood as a number; nothing of it can fill the disk or stop a refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.audit import AuditRecord, Decision
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.refusals import WINDOW_S, Refusal, RefusalService
from cybercorp.store.records.database import Records

ONE = Refusal(operation="request.refuse", actor=None, network="192.0.2.1", target="GET /api/v1/hosts", code="forbidden")


class Refusals(RefusalService):
    """With what was written."""

    def __init__(self, audit: AuditService, clock: ManualClock) -> None:
        super().__init__(audit, clock)
        self.audit, self.clock = audit, clock

    async def records(self) -> list[AuditRecord]:
        return (await self.audit.page(limit=1000, newest=True)).records


@pytest.fixture
async def refusals(tmp_path: Path) -> AsyncIterator[Refusals]:
    records = await Records.open(tmp_path / "records.db")
    clock = ManualClock()
    audit = AuditService(records.audit, records.signing_keys, Vault({1: new_key()}, 1), clock, tmp_path / "copy.jsonl")
    yield Refusals(audit, clock)
    await audit.close()
    await records.close()


async def test_a_flood_is_two_records(refusals: Refusals) -> None:
    """The first, and after a minute how many there were; another kind has its own."""
    for _ in range(1000):
        await refusals.note(ONE)
    await refusals.note(msgspec.structs.replace(ONE, code="mfa_required"))
    assert [one.detail for one in await refusals.records()] == [{"code": "forbidden"}, {"code": "mfa_required"}]
    refusals.clock.advance(WINDOW_S)
    await refusals.flush()
    last = (await refusals.records())[-1]
    assert last.detail == {"code": "forbidden", "times": "999"}
    assert (last.decision, last.network, last.target) == (Decision.REFUSED, "192.0.2.1", "GET /api/v1/hosts")
    await refusals.note(ONE)
    assert len(await refusals.records()) == 4


async def test_many_networks_are_counted_together(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many kinds in a minute there is one record for the rest, however many addresses somebody has."""
    monkeypatch.setattr("cybercorp.server.services.refusals.MAX_KINDS", 50)
    for number in range(250):
        await refusals.note(msgspec.structs.replace(ONE, network=f"net-{number}"))
    found = await refusals.records()
    assert found[-1].target == "several"
    await refusals.flush(everything=True)
    assert (await refusals.records())[-1].detail["times"] == "199"
    assert (await refusals.records())[-1].id == 52


async def test_who_is_refused_is_refused(refusals: Refusals, tmp_path: Path) -> None:
    """Also while nothing can be written."""
    (tmp_path / "copy.jsonl").mkdir()
    await refusals.note(ONE)
    assert refusals.audit.failing
