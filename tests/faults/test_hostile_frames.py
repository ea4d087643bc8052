"""What no client of ours sends: each is closed with the code that says why, and nobody else notices (F19)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.control_group import ControlGroup, limit_of
from tests.faults.hostile_frames import PATIENCE_S, Attacks, End
from tests.faults.servers import FaultyServer

MOST_BYTES = 64 * 1024**2
TOO_LARGE, BROKEN, UNREADABLE, TOO_MANY = 1009, 1002, 1007, 1008
EXPECTED = {
    "60 MiB in fragments": TOO_LARGE,
    "60 MiB in a frame": TOO_LARGE,
    "a length of 2^63": TOO_LARGE,
    "a deflate bomb": BROKEN,
    "no mask": BROKEN,
    "a reserved opcode": BROKEN,
    "a long ping": BROKEN,
    "a continuation of nothing": BROKEN,
    "no UTF-8": UNREADABLE,
    "no UTF-8 in fragments": UNREADABLE,
    "deep JSON": UNREADABLE,
    "huge numbers": UNREADABLE,
    "tiny texts": TOO_MANY,
    "tiny messages": TOO_MANY,
    "empty fragments": TOO_MANY,
    "pings": TOO_MANY,
    "pings whose answers nobody reads": 0,  # whoever does not read is not told: it is reset
    "100,000 fields": 431,
    "a field of 1 MiB": 431,
    "a body of 60 MiB": 413,
    "chunks of 60 MiB": 413,
    "a body of deep JSON": 400,
    "a body of huge numbers": 400,
    "a body that is no UTF-8": 400,
    "a packed bomb": 400,
}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_each_is_closed_with_its_code_and_holds_up_nobody(
    tmp_path: Path, times: Callable[[int, int], int]
) -> None:
    """Large, deep, tiny by the hundred thousand, or broken: the right code within ten seconds, 64 MB, no error in the
    log; none of the others' requests fails, and their p99 at most doubles."""
    quick = times(1, 0) == 1
    server = FaultyServer(tmp_path)
    server.start()
    token = server.owner["Authorization"].removeprefix("Bearer ")
    group, until = ControlGroup(server.url, token), asyncio.Event()
    try:
        await group.ask_for(1)
        quiet = await group.ask_for(4)
        before, peak = server.memory_bytes, 0
        attacks = Attacks(server.port, token, times(100_000, 1_000_000), times(1, 5))
        try:
            asking = asyncio.create_task(group.ask(until))
            result = asyncio.create_task(asyncio.to_thread(attacks.result))
            while not result.done():
                peak = max(peak, server.memory_bytes)
                await asyncio.wait({result}, timeout=0.1)
            until.set()
            ends, answers = await result, await asking
        finally:
            attacks.end()
        limit_s = limit_of(quiet, await group.ask_for(4), quick=quick)
        server.stop()
    finally:
        server.kill()
    assert {one.attack for one in ends} == set(EXPECTED)
    assert wrong(ends) == []
    assert answers.failed == []
    assert peak - before <= MOST_BYTES, f"{(peak - before) / 1024**2:.0f} MB"
    assert answers.p99_s <= limit_s, f"{1000 * answers.p99_s:.0f} ms, at most {1000 * limit_s:.0f}"
    log = (tmp_path / "server.log").read_text()
    assert "ERROR" not in log
    assert len(log) < 20_000
    print(f"p99 {1000 * answers.p99_s:.0f} ms of at most {1000 * limit_s:.0f}, +{(peak - before) / 1024**2:.0f} MB")


def wrong(ends: list[End]) -> list[End]:
    """Those that ended otherwise, or not in time. Of texts that are too many and unreadable either is said first."""
    either = {"tiny texts": (TOO_MANY, UNREADABLE)}
    return [
        one
        for one in ends
        if one.code not in either.get(one.attack, (EXPECTED[one.attack],)) or one.seconds > PATIENCE_S
    ]
