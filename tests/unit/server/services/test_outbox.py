"""What waits for one connection: states conflated, a log in order, both bounded."""

import asyncio

import pytest

from cybercorp.server.services.outbox import MAX_ENTRIES, MAX_ENTRY_BYTES, Outbox


async def drain(box: Outbox) -> list[bytes]:
    """Everything that can be had without waiting."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append(await box.next())
        except TimeoutError:
            return found


async def test_the_latest_state_wins() -> None:
    """One message a key, in the order in which the keys first waited; forgotten ones are not sent."""
    box = Outbox()
    for key, data in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4")):
        box.put_state(key, data)
    box.forget_state("c")
    box.forget_state("never")
    assert await drain(box) == [b"3", b"2"]


async def test_a_log_keeps_its_order() -> None:
    """Entries go before states and are never conflated."""
    box = Outbox()
    box.put_state("a", b"state")
    for number in range(5):
        box.put_entry(b"%d" % number)
    assert await drain(box) == [b"0", b"1", b"2", b"3", b"4", b"state"]


@pytest.mark.parametrize(("count", "size"), [(MAX_ENTRIES + 1, 1), (9, MAX_ENTRY_BYTES // 8)])
async def test_a_log_that_nobody_takes_overflows(count: int, size: int) -> None:
    """By number and by bytes; whoever waits is woken to see it."""
    box = Outbox()
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    for _ in range(count):
        box.put_entry(b"x" * size)
    assert box.overflowed
    async with asyncio.timeout(1):
        await waiting


async def test_room_is_given_back() -> None:
    """What was sent counts no more."""
    box = Outbox()
    for _ in range(5):
        for _ in range(MAX_ENTRIES):
            box.put_entry(b"x")
        assert len(await drain(box)) == MAX_ENTRIES
    assert not box.overflowed
