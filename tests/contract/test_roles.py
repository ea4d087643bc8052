"""Roles on both databases, also of two instances at once."""

import asyncio
from pathlib import Path

import pytest

from cybercorp.core.errors import ConflictError
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.roles import ElevationState, NewBinding, NewElevation
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.elevations import ElevationService
from cybercorp.server.services.roles import RoleService
from cybercorp.store.records.database import Records
from tests.contract.conftest import Another
from tests.contract.people import LOCAL_OWNER, People, make_people

VAULT = Vault({1: new_key()}, 1)


def services(records: Records, people: People) -> tuple[RoleService, ElevationService]:
    roles = RoleService(records.roles, records.bindings, records.users, people.policy, people.audit, people.clock)
    return roles, ElevationService(records.elevations, records.users, roles, people.policy, people.audit, people.clock)


async def test_a_request_is_decided_once(records: Records, another: Another, tmp_path: Path) -> None:
    """Approved ten times at the same moment on two instances: one decision, one binding, which ends by itself."""
    people = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    second = await another()
    others = await make_people(second, VAULT, tmp_path / "other.jsonl", people.clock)
    await people.make()
    ada = await people.principal(await people.login())
    (_, here), (_, there) = services(records, people), services(second, others)
    asked = await here.request(ada, NewElevation(role="operator", reason="incident", duration_s=600))
    results = await asyncio.gather(
        *(one.decide(LOCAL_OWNER, asked.id, approve=True) for one in [here, there] * 5), return_exceptions=True
    )
    assert [one for one in results if isinstance(one, BaseException) and not isinstance(one, ConflictError)] == []
    assert [one.state for one in results if not isinstance(one, BaseException)] == [ElevationState.APPROVED]
    assert len(await records.bindings.list_()) == 1
    for each in (people, others):
        await each.policy.load()
        assert each.policy.rights_of(ada.id).everywhere(Permission.HOSTS_EDIT)
    people.clock.advance(600)
    for each in (people, others):
        assert not each.policy.rights_of(ada.id).allows(Permission.HOSTS_EDIT)
        each.passwords.close()


async def test_another_instance_learns_of_a_binding(records: Records, another: Another, tmp_path: Path) -> None:
    """When it looks again, and it says that something is different only where it is."""
    people = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    others = await make_people(await another(), VAULT, tmp_path / "other.jsonl", people.clock)
    await people.make()
    roles, _ = services(records, people)
    made = await roles.bind(LOCAL_OWNER, NewBinding(user="ada", role="viewer", scope="env=prod"))
    assert [await others.policy.load(), await others.policy.load()] == [True, False]
    assert others.policy.rights_of(made.user_id).allows_labels(Permission.HOSTS_VIEW, {"env": "prod"})
    await roles.unbind(LOCAL_OWNER, made.id)
    assert await others.policy.load()
    assert not others.policy.rights_of(made.user_id).allows(Permission.HOSTS_VIEW)
    for each in (people, others):
        each.passwords.close()


async def test_the_last_admin_stays(records: Records, tmp_path: Path) -> None:
    """Somebody can always manage roles; with a second admin the first may go."""
    people = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    for name in ("ada", "eve"):
        await people.make(name)
    roles, _ = services(records, people)
    first = await roles.bind(LOCAL_OWNER, NewBinding(user="ada", role="admin"))
    with pytest.raises(ConflictError):
        await roles.unbind(LOCAL_OWNER, first.id)
    await roles.bind(LOCAL_OWNER, NewBinding(user="eve", role="admin"))
    await roles.unbind(LOCAL_OWNER, first.id)
    people.passwords.close()
