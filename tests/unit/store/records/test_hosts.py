"""The table of hosts."""

from __future__ import annotations

import asyncio

import pytest

from cybercorp.core.errors import ConflictError, NotFoundError
from cybercorp.protocol.hosts import HostFacts
from cybercorp.store.records.database import Records
from cybercorp.store.records.hosts import HostRow

FACTS = HostFacts(hostname="web-1.example", cpu_count=4, addresses=["10.0.0.1", "fe80::1"])


async def _create(records: Records, name: str) -> HostRow:
    return await records.hosts.create(name, {"env": "prod"}, FACTS, 1000, interval_ms=500)


async def test_a_host_comes_back_as_it_was_made(records: Records) -> None:
    """By id and by name, with labels and facts."""
    made = await _create(records, "web-1")
    assert made.id.startswith("host_")
    assert (made.name, made.labels, made.facts) == ("web-1", {"env": "prod"}, FACTS)
    assert (made.joined_at_ms, made.seen_at_ms, made.interval_ms, made.removed_at_ms) == (1000, None, 500, None)
    assert await records.hosts.get("web-1") == await records.hosts.get(made.id) == made
    assert await records.hosts.find("web-2") is None


async def test_two_hosts_cannot_have_one_name(records: Records) -> None:
    """The second is told so, with a stable code; also when both come at once, and by renaming."""
    await _create(records, "web-1")
    with pytest.raises(ConflictError) as caught:
        await _create(records, "web-1")
    assert caught.value.error_code == "host_name_taken"
    assert "--name" in caught.value.hint
    answers = await asyncio.gather(*(_create(records, "web-2") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, ConflictError) for one in answers) == 4
    with pytest.raises(ConflictError):
        await records.hosts.rename((await records.hosts.get("web-2")).id, "web-1")


async def test_an_unknown_host_is_answered_with_the_nearest(records: Records) -> None:
    """A typing error gets the name that was meant."""
    await _create(records, "database-1")
    with pytest.raises(NotFoundError) as caught:
        await records.hosts.get("datbase-1")
    assert caught.value.error_code == "host_not_found"
    assert caught.value.hint == "Did you mean 'database-1'?"
    with pytest.raises(NotFoundError) as caught:
        await records.hosts.get("zzz")
    assert "cybercorp hosts" in caught.value.hint


async def test_an_id_wins_over_a_name(records: Records) -> None:
    """Nobody can take a host's place by taking its id for a name."""
    first = await _create(records, "web-1")
    await _create(records, first.id)
    assert (await records.hosts.get(first.id)).name == "web-1"


async def test_labels_are_set_and_taken_away(records: Records) -> None:
    """None removes; the others stay."""
    host = await _create(records, "web-1")
    changed = await records.hosts.set_labels(host.id, {"env": None, "site": "north", "absent": None})
    assert changed.labels == {"site": "north"}
    assert (await records.hosts.get("web-1")).labels == {"site": "north"}
    with pytest.raises(NotFoundError):
        await records.hosts.set_labels("host_0", {"a": "b"})


async def test_facts_and_times_are_kept(records: Records) -> None:
    """Many hosts' times in one transaction; keys that are gone do not matter."""
    one, two = await _create(records, "web-1"), await _create(records, "web-2")
    await records.hosts.update_seen({one.key: 5000, two.key: 6000, 999: 7000})
    await records.hosts.update_seen({})
    assert [host.seen_at_ms for host in await records.hosts.list_()] == [5000, 6000]
    updated = await records.hosts.update_facts(one.id, HostFacts(kernel="6.1"), interval_ms=2000)
    assert (updated.facts.kernel, updated.interval_ms, updated.seen_at_ms) == ("6.1", 2000, 5000)
    kept = await records.hosts.update_facts(one.id, HostFacts(kernel="6.2"))
    assert kept.interval_ms == 2000


async def test_a_removed_host_leaves_its_name_but_not_its_key(records: Records) -> None:
    """History is stored under the key: a new host of the same name must not inherit it."""
    old = await _create(records, "web-1")
    removed = await records.hosts.remove(old.id, 9000)
    assert removed.removed_at_ms == 9000
    assert await records.hosts.find("web-1") is None
    assert await records.hosts.find(old.id) is None
    with pytest.raises(NotFoundError):
        await records.hosts.remove(old.id, 9000)
    new = await _create(records, "web-1")
    assert new.key > old.key
    assert new.id != old.id
    assert [host.key for host in await records.hosts.list_()] == [new.key]
    assert {host.key for host in await records.hosts.list_(removed=True)} == {old.key, new.key}


async def test_renaming_keeps_everything_else(records: Records) -> None:
    """Id, key and labels stay."""
    host = await _create(records, "web-1")
    renamed = await records.hosts.rename(host.id, "web-9")
    assert (renamed.key, renamed.id, renamed.name, renamed.labels) == (host.key, host.id, "web-9", host.labels)
