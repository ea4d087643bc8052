"""Nobody learns by the answers to log-ins who has an account; of the time they take tells tests/faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from cybercorp.core.errors import RateLimitedError
from cybercorp.server.services.logins import ELSEWHERE, HERE, NETWORK
from cybercorp.server.services.passwords import KEPT_FREE, LANES, MAX_WAITING, MEMORY_KIB, PASSES, Passwords
from tests.integration.serving import ServerThread

WORDS = "correct horse battery staple"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """Hashing is as cheap as can be, so that it hides nothing else."""
    with ServerThread(tmp_path_factory.mktemp("enumeration"), password_memory_kib=19_456) as running:
        for name in ("ada", "disabled"):
            running.http.post("/api/v1/users", json={"name": name, "password": WORDS})
        running.http.post("/api/v1/users", json={"name": "robot", "kind": "service"})
        running.http.patch("/api/v1/users/disabled", json={"disabled": True})
        yield running


def refused(server: ServerThread, http: httpx.Client, name: str) -> tuple[float, httpx.Response]:
    """A wrong log-in, with nothing counted of those before, and how long it took."""
    for rule, *keys in ((HERE, name, "127.0.0.1"), (ELSEWHERE, name), (NETWORK, "127.0.0.1")):
        server.run(server.services.limits.clear(rule, *keys))
    began = time.perf_counter()
    answer = http.post("/api/v1/login", json={"name": name, "password": "a wrong password"})
    return time.perf_counter() - began, answer


def test_all_get_the_same_answer(server: ServerThread) -> None:
    """Known, unknown, disabled, a program's account, a name that nobody can have: to the byte."""
    with httpx.Client(base_url=server.url) as http:
        names = ("ada", "nobody", "disabled", "robot", "not a name!", "x" * 60)
        answers = {(a.status_code, a.content) for a in (refused(server, http, name)[1] for name in names)}
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


async def test_what_a_password_costs() -> None:
    """Argon2id with 64 MiB, three passes, four lanes; an older, cheaper hash is made anew at the next log-in."""
    assert (MEMORY_KIB, PASSES, LANES) == (65_536, 3, 4)
    real, cheap = Passwords(), Passwords(memory_kib=64, passes=1, lanes=1)
    try:
        hashed = await real.hash(WORDS)
        assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        assert await real.verify(hashed, WORDS)
        assert not await real.verify(hashed, WORDS.upper())
        assert not await real.verify(None, WORDS)
        assert not real.needs_rehash(hashed)
        assert real.needs_rehash(await cheap.hash(WORDS))
    finally:
        real.close()
        cheap.close()


async def test_strangers_leave_places_free() -> None:
    """However many strangers wait to be hashed, whoever is where they usually are is let in beside them."""
    passwords = Passwords(memory_kib=64, passes=1, lanes=1)
    try:
        hashed = await passwords.hash(WORDS)
        strangers = [asyncio.create_task(passwords.verify(None, WORDS, stranger=True)) for _ in range(MAX_WAITING)]
        known = asyncio.create_task(passwords.verify(hashed, WORDS))
        ends = await asyncio.gather(*strangers, return_exceptions=True)
        assert sum(isinstance(one, RateLimitedError) for one in ends) == KEPT_FREE
        assert await known
    finally:
        passwords.close()
