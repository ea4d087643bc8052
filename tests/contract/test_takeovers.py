"""Ways to more than one was given: another's account, an hour's rights made to last, a log-in that outruns its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cybercorp.core.errors import ConflictError, CyberCorpError
from cybercorp.protocol.logins import ClientType, Login, Tokens
from cybercorp.protocol.mfa import FactorKind
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.roles import Effect, NewBinding, NewElevation, NewRole
from cybercorp.protocol.users import NewUser, UserChange
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.elevations import ElevationService
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.roles import RoleService
from cybercorp.store.records.database import Records
from cybercorp.store.records.users import UserRow
from tests.contract.conftest import Another
from tests.contract.people import HOME, LOCAL_OWNER, PASSWORD, People, make_people

VAULT = Vault({1: new_key()}, 1)
OTHER = "quite another sentence"


@pytest.fixture
async def people(records: Records, tmp_path: Path) -> AsyncIterator[People]:
    made = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    yield made
    made.passwords.close()


@pytest.fixture
def roles(records: Records, people: People) -> RoleService:
    return RoleService(records.roles, records.bindings, records.users, people.policy, people.audit, people.clock)


@pytest.fixture
def elevations(records: Records, people: People, roles: RoleService) -> ElevationService:
    return ElevationService(records.elevations, records.users, roles, people.policy, people.audit, people.clock)


async def refused(work: object) -> str:
    """The code that something is refused with."""
    with pytest.raises(CyberCorpError) as error:
        await work  # type: ignore[misc]
    return error.value.error_code


async def bound(people: People, roles: RoleService, name: str, *bindings: NewBinding) -> Principal:
    """A user with these roles, logged in."""
    await people.make(name)
    for one in bindings:
        await roles.bind(LOCAL_OWNER, one)
    return await people.principal(await people.login(name))


async def test_who_manages_users_takes_over_nobody_who_reaches_further(people: People, roles: RoleService) -> None:
    """The same permission on fewer hosts is less: neither a password nor a reset opens the account of who has more."""
    helping = [str(Permission.USERS_ADMIN), str(Permission.USERS_VIEW)]
    await roles.create(LOCAL_OWNER, NewRole(name="helpdesk", permissions=helping))
    eve = await bound(
        people,
        roles,
        "eve",
        NewBinding(user="eve", role="helpdesk"),
        NewBinding(user="eve", role="operator", scope="env=dev"),
    )
    await bound(people, roles, "everywhere", NewBinding(user="everywhere", role="operator"))
    await bound(people, roles, "elsewhere", NewBinding(user="elsewhere", role="viewer", scope="env=prod"))
    await bound(people, roles, "within", NewBinding(user="within", role="viewer", scope="env=dev team=web"))
    await bound(people, roles, "nothing")
    for name in ("everywhere", "elsewhere"):
        assert await refused(people.users.change(eve, name, UserChange(password=OTHER))) == "grants_more"
        assert await refused(people.users.reset_factors(eve, name)) == "grants_more"
        assert await refused(people.users.remove(eve, name)) == "grants_more"
    for name in ("within", "nothing"):
        await people.users.change(eve, name, UserChange(password=OTHER))
        await people.users.reset_factors(eve, name)


async def test_an_hour_of_admin_stays_an_hour(people: People, roles: RoleService) -> None:
    """Whoever is admin for a while makes no admin for good, and becomes none; keeping somebody out they may."""
    await people.make("root", role="admin")
    await people.make("second", role="admin")
    eve = await bound(people, roles, "eve", NewBinding(user="eve", role="admin", expires_in_s=60))
    assert await refused(people.users.create(eve, NewUser(name="x", password=PASSWORD, role="admin"))) == "grants_more"
    assert await refused(people.users.change(eve, "root", UserChange(password=OTHER))) == "grants_more"
    assert await refused(people.users.reset_factors(eve, "root")) == "grants_more"
    await people.users.change(eve, "root", UserChange(disabled=True))
    assert (await people.users.create(eve, NewUser(name="y", password=PASSWORD))).roles == []


async def test_the_last_admin_who_lasts_stays(people: People, roles: RoleService) -> None:
    """Who is disabled, a program, or an admin for a minute, is no other admin; nor may the last one be denied it."""
    await people.make("root", role="admin")
    boss = await people.principal(await people.login("root"))
    [first] = await roles.list_bindings("root")
    await people.make("gone", role="admin")
    await people.users.change(LOCAL_OWNER, "gone", UserChange(disabled=True))
    eve = await bound(people, roles, "eve", NewBinding(user="eve", role="admin", expires_in_s=60))
    for work in (
        roles.unbind(boss, first.id),
        people.users.remove(eve, "root"),
        people.users.change(eve, "root", UserChange(disabled=True)),
        roles.bind(eve, NewBinding(user="root", role="admin", effect=Effect.DENY)),
    ):
        assert await refused(work) == "last_admin"
    await people.users.remove(boss, "eve")
    await people.make("second", role="admin")
    await roles.unbind(boss, first.id)


@pytest.mark.parametrize("change", [UserChange(password=OTHER), UserChange(disabled=True)])
async def test_a_log_in_does_not_outrun_a_new_password(
    people: People, monkeypatch: pytest.MonkeyPatch, change: UserChange
) -> None:
    """A session that begins while the account changes, by the password of before, is ended with the others."""
    await people.make()
    begin = people.sessions.begin

    async def late(user: UserRow, client: ClientType, network: str, agent: str, factors: frozenset[str]) -> Tokens:
        await people.users.change(LOCAL_OWNER, "ada", change)
        return await begin(user, client, network, agent, factors)

    monkeypatch.setattr(people.sessions, "begin", late)
    assert await refused(people.login()) == "unauthenticated"
    assert await people.sessions.list_() == []


async def test_a_request_cancelled_while_it_is_approved_gives_nothing(
    people: People, records: Records, elevations: ElevationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first: after `cancel` answered there is no role."""
    await people.make()
    ada = await people.principal(await people.login())
    asked = await elevations.request(ada, NewElevation(role="operator", reason="incident", duration_s=600))
    find, first = records.elevations.find, True

    async def slow(id: str) -> object:
        nonlocal first
        row = await find(id)
        if first:
            first = False
            await elevations.decide(LOCAL_OWNER, asked.id, approve=True)
        return row

    monkeypatch.setattr(records.elevations, "find", slow)
    await elevations.cancel(ada, asked.id)
    assert await records.bindings.list_() == []
    assert not people.policy.rights_of(ada.id).allows(Permission.HOSTS_EDIT)


async def test_a_log_in_goes_on_while_its_hash_is_made_anew(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs that grew make another hash of the same password: that ends nothing."""
    await people.make()
    monkeypatch.setattr(people.passwords, "needs_rehash", lambda hashed: True)
    request = Login(name="ada", password=PASSWORD, client=ClientType.CLI)
    await people.principal(await people.logins.login(request, HOME, "cybercorp/test"))


async def test_new_recovery_codes_leave_no_others(
    people: People, records: Records, another: Another, tmp_path: Path
) -> None:
    """Made at the same moment on two instances: ten are good, and they are of one set."""
    others = await make_people(await another(), VAULT, tmp_path / "other.jsonl", people.clock)
    await people.make()
    tokens = await people.login()
    await people.set_up_totp(tokens)
    ada = await people.principal(tokens)
    made = await asyncio.gather(*(one.mfa.new_recovery_codes(ada) for one in [people, others] * 4))
    rows = [row for row in await records.factors.list_(ada.id) if row.kind == FactorKind.RECOVERY]
    assert sorted(row.name for row in rows) == [str(number) for number in range(10)]
    proven = [[await people.mfa.check_code(ada.id, code) for code in one.codes[:1]] for one in made]
    assert sorted(map(str, proven)) == sorted(map(str, [[FactorKind.RECOVERY], *[[None]] * 7]))
    others.passwords.close()


async def test_two_ways_to_the_same_error(people: People, roles: RoleService) -> None:
    """The local owner may remove the last admin's account, but not the binding: that would be by mistake."""
    await people.make("root", role="admin")
    [only] = await roles.list_bindings("root")
    with pytest.raises(ConflictError):
        await roles.unbind(LOCAL_OWNER, only.id)
    await people.users.remove(LOCAL_OWNER, "root")
