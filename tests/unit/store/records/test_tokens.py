"""The table of tokens."""

from __future__ import annotations

import asyncio

import pytest

from cybercorp.core.errors import ConflictError
from cybercorp.store.records.database import Records


async def test_a_token_is_found_by_its_hash(records: Records) -> None:
    """With all it may do; another hash finds nothing."""
    made = await records.tokens.create("enrolment", "aa", 5, labels={"env": "prod"}, expires_at_ms=900)
    assert await records.tokens.find("aa") == made
    assert (made.labels, made.used_at_ms, made.expires_at_ms) == ({"env": "prod"}, None, 900)
    assert await records.tokens.find("AA") is None
    with pytest.raises(ConflictError):
        await records.tokens.create("owner", "aa", 5)


async def test_a_token_is_used_once(records: Records) -> None:
    """Of twenty at once exactly one succeeds; a use that is given back can be taken again."""
    await records.tokens.create("enrolment", "aa", 5, expires_at_ms=900)
    answers = await asyncio.gather(*(records.tokens.use("aa", 6) for _ in range(20)))
    assert [answer.used_at_ms for answer in answers if answer is not None] == [6]
    await records.tokens.give_back("aa")
    assert await records.tokens.use("aa", 6) is not None
    assert await records.tokens.use("aa", 6) is None


async def test_a_token_expires_on_time(records: Records) -> None:
    """Usable until the moment before; one that does not expire is none to be used up."""
    await records.tokens.create_many("enrolment", ["aa", "ab"], 5, expires_at_ms=100)
    await records.tokens.create("owner", "bb", 5)
    assert await records.tokens.use("aa", 99) is not None
    assert await records.tokens.use("ab", 100) is None
    assert await records.tokens.use("bb", 6) is None
    assert await records.tokens.use("cc", 1) is None


async def test_tokens_are_deleted(records: Records) -> None:
    """One, those of a kind, those that are dead."""
    await records.tokens.create("owner", "a3", 3)
    await records.tokens.create("owner", "o1", 4)
    await records.tokens.create("enrolment", "e1", 5, expires_at_ms=10)
    await records.tokens.create("enrolment", "e2", 6, expires_at_ms=100)
    await records.tokens.use("e2", 7)
    await records.tokens.create("enrolment", "e3", 7, expires_at_ms=100)
    assert await records.tokens.delete("a3")
    assert not await records.tokens.delete("a3")
    assert await records.tokens.delete_expired(10) == 2
    assert [token.hash for token in await records.tokens.list_("enrolment")] == ["e3"]
    assert await records.tokens.delete_kind("owner") == 1
    assert [token.hash for token in await records.tokens.list_()] == ["e3"]
