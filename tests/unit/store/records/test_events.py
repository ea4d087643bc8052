"""The table of events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cybercorp.protocol.events import Event, Severity
from cybercorp.store.records.database import Records
from cybercorp.store.records.events import NewEvent

KINDS = ["host.joined", "host.removed", "monitor.failed"]


def _new(number: int) -> NewEvent:
    return NewEvent(
        time_ms=1000 + number,
        kind=KINDS[number % 3],
        severity=Severity.WARNING if number % 2 else Severity.INFO,
        message=f"event {number}",
        host_id=f"host_{number % 2}",
        host=f"web-{number % 2}",
        attributes={"number": str(number)},
    )


async def test_events_get_growing_ids(records: Records) -> None:
    """In the order they were given, across calls and after a deletion."""
    first = await records.events.append([_new(0), _new(1)])
    assert [event.id for event in first] == [1, 2]
    assert first[1].attributes == {"number": "1"}
    assert await records.events.append([]) == []
    assert await records.events.delete_before(2000) == 2
    assert (await records.events.append([_new(2)]))[0].id == 3
    assert (await records.events.oldest_id(), await records.events.last_id()) == (3, 3)


async def test_an_empty_log_has_no_ids(records: Records) -> None:
    """Zero stands for none, and the page is empty."""
    assert (await records.events.oldest_id(), await records.events.last_id()) == (0, 0)
    page = await records.events.page()
    assert (page.events, page.next_after, page.epoch) == ([], None, records.epoch)


async def test_pages_continue_each_other(records: Records) -> None:
    """Following `next_after` reads every event once, oldest first; `before` goes back from the newest."""
    made = await records.events.append([_new(number) for number in range(25)])
    read: list[Event] = []
    after: int | None = None
    while True:
        page = await records.events.page(after=after, limit=10)
        read.extend(page.events)
        after = page.next_after
        if after is None:
            break
    assert read == made
    last = await records.events.page(newest=True, limit=10)
    assert last.events == made[15:]
    earlier = await records.events.page(newest=True, limit=10, before=last.events[0].id)
    assert earlier.events == made[5:15]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    question=st.fixed_dictionaries(
        {},
        optional={
            "after": st.integers(0, 30),
            "before": st.integers(0, 30),
            "kinds": st.lists(st.sampled_from([*KINDS, "other"]), max_size=2),
            "host": st.sampled_from(["host_0", "web-1", "nobody"]),
            "since_ms": st.integers(990, 1030),
            "until_ms": st.integers(990, 1030),
            "newest": st.booleans(),
        },
    ),
    limit=st.integers(1, 30),
)
def test_every_filter_equals_a_plain_list(tmp_path: Path, question: dict[str, Any], limit: int) -> None:
    """All conditions together, from either end."""

    async def ask() -> tuple[list[Event], list[Event]]:
        records = await Records.open(tmp_path / "records.db")
        try:
            if not await records.events.last_id():
                await records.events.append([_new(number) for number in range(25)])
            everything = (await records.events.page(limit=100)).events
            return everything, (await records.events.page(limit=limit, **question)).events
        finally:
            await records.close()

    everything, found = asyncio.run(ask())
    expected = [
        event
        for event in everything
        if event.id > question.get("after", 0)
        and event.id < question.get("before", 99)
        and (not question.get("kinds") or event.kind in question["kinds"])
        and question.get("host", event.host) in (event.host, event.host_id)
        and question.get("since_ms", 0) <= event.time_ms < question.get("until_ms", 9999)
    ]
    assert found == (expected[-limit:] if question.get("newest") else expected[:limit])


async def test_the_epoch_names_the_file(tmp_path: Path) -> None:
    """The same after a restart, another one for another file."""
    epochs = []
    for name in ("a.db", "a.db", "b.db"):
        opened = await Records.open(tmp_path / name)
        epochs.append(opened.epoch)
        assert opened.events.epoch == opened.epoch
        await opened.close()
    assert epochs[0] == epochs[1] != epochs[2]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\u202e", "x" * 100_000])
async def test_any_text_is_kept_as_it_is(records: Records, text: str) -> None:
    """Making it safe is the business of whoever shows it."""
    (event,) = await records.events.append([NewEvent(time_ms=1, kind="k", severity=Severity.ERROR, message=text)])
    assert (await records.events.page()).events == [event]
    assert event.message == text
