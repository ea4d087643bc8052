"""Thousands of connections that never finish what they begin (F19): each is closed in time, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.control_group import Answers, ControlGroup, limit_of
from tests.faults.half_open import Flood, HalfOpen
from tests.faults.servers import FaultyServer

CLOSED_S = 10.0
LATE_S = 0.5  # what the machine may add; with the quick profile, beside other tests, tenfold
MOST_BYTES = 64 * 1024**2
FLOOD_S = 21.0
TRIES = 3  # of a wave; whatever else the machine does may make others wait once, what we do makes them wait each time
PLAIN = ("silent", "head-drips", "body-drips")
SECURE = ("silent", "hello-drips", "hello-alone")


async def flooded(server: FaultyServer, count: int, kinds: tuple[str, ...]) -> tuple[list[HalfOpen], Answers, int]:
    """How the half-open ones ended, what the others were answered, and the bytes of memory that it took."""
    group = ControlGroup(server.url, server.owner["Authorization"].removeprefix("Bearer "))
    before, peak, until = server.memory_bytes, 0, asyncio.Event()
    flood = Flood(server.port, count, FLOOD_S, *kinds)
    try:
        asking, result = asyncio.create_task(group.ask(until)), asyncio.create_task(flood.result())
        while not result.done():
            peak = max(peak, server.memory_bytes)
            await asyncio.wait({result}, timeout=0.2)
        until.set()
        return await result, await asking, peak - before
    finally:
        flood.end()


async def prove(server: FaultyServer, count: int, waves: list[tuple[str, ...]], *, quick: bool) -> None:
    """One wave after the other, each against the quiet before and after it."""
    group = ControlGroup(server.url, server.owner["Authorization"].removeprefix("Bearer "))
    await group.ask_for(1)  # what is slow the first time
    quiet = await group.ask_for(4)
    for kinds in waves:
        for again in reversed(range(TRIES)):
            found, answers, grown = await flooded(server, count, kinds)
            before, quiet = quiet, await group.ask_for(4)
            limit_s = limit_of(before, quiet, quick=quick)
            late = [
                one for one in found if one.closed_s is None or one.closed_s > CLOSED_S + (10 if quick else 1) * LATE_S
            ]
            assert len(found) == count
            assert not late, late[:3]
            assert answers.failed == []
            assert grown <= MOST_BYTES, f"{kinds}: {grown / 1024**2:.0f} MB"
            answered = Counter(one.status for one in found if "head" in one.kind or "body" in one.kind)
            assert set(answered) <= {408, 0}, f"{kinds}: {answered}"
            assert answered[0] <= 0.1 * count, f"{kinds}: {answered}"  # a byte that crosses the answer resets it
            p99_ms, limit_ms = 1000 * answers.p99_s, 1000 * limit_s
            said = f"{count} × {'+'.join(kinds)}: p99 {p99_ms:.0f} of {limit_ms:.0f} ms, +{grown / 1024**2:.0f} MB"
            print(said)
            if answers.p99_s <= limit_s:
                break
            assert again, said


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("secure", "kinds"), [(True, SECURE), (False, PLAIN)], ids=["TLS", "plain HTTP"])
async def test_half_open_connections_are_closed_and_hold_up_nobody(
    tmp_path: Path, times: Callable[[int, int], int], secure: bool, kinds: tuple[str, ...]
) -> None:
    """Silent, or a byte a second, before TLS, in the head, in the body: closed after ten seconds (408 where that can be
    said); the p99 of the others at most doubles, none of their requests fails, and 64 MB are enough."""
    count = times(300, 2000)
    server = FaultyServer(tmp_path, secure=secure)
    server.start()
    try:
        waves: list[tuple[str, ...]] = [kinds] if count < 2000 else [(kind,) for kind in kinds]
        await prove(server, count, waves, quick=count < 2000)
        server.stop()
        assert "ERROR" not in (tmp_path / "server.log").read_text()
    finally:
        server.kill()
