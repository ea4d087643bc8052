"""Promises of the work for the newest wish."""

from __future__ import annotations

import asyncio

import pytest

from cybercorp.tui.conflation import Newest


class Slow:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.gate = asyncio.Event()

    async def __call__(self, wanted: int) -> None:
        await self.gate.wait()
        self.gate.clear()
        self.done.append(wanted)


async def test_what_is_wished_meanwhile_is_one_more_piece_of_work() -> None:
    """Fifty wishes during one piece of work: the first and the last are done, one after the other."""
    work = Slow()
    newest = Newest(work)
    assert newest.wish(0)
    running = asyncio.create_task(newest.run())
    await asyncio.sleep(0)
    for wanted in range(1, 51):
        assert not newest.wish(wanted)
    assert newest.busy
    for _ in range(2):
        work.gate.set()
        for _ in range(3):
            await asyncio.sleep(0)
    await running
    assert work.done == [0, 50]
    assert not newest.busy


async def test_what_is_forgotten_is_not_done() -> None:
    """A wish that was taken back before its turn costs nothing."""
    work = Slow()
    newest = Newest(work)
    newest.wish(1)
    newest.forget()
    await newest.run()
    assert work.done == []


async def test_work_that_fails_leaves_the_way_free() -> None:
    """After an exception the next wish is worked on."""
    calls = []

    async def fails(wanted: int) -> None:
        calls.append(wanted)
        raise ValueError(wanted)

    newest = Newest(fails)
    for wanted in (1, 2):
        assert newest.wish(wanted)
        with pytest.raises(ValueError, match=str(wanted)):
            await newest.run()
    assert calls == [1, 2]
