"""People on both databases: log-in, second factors, sessions, refresh families; also of two instances at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cybercorp.core.errors import (
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
    StepUpRequiredError,
    UnauthenticatedError,
)
from cybercorp.protocol.logins import ClientType, Login, PasswordChange, StepUp
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.users import NewUser, UserChange, UserKind
from cybercorp.security.vault import Vault, new_key
from cybercorp.store.records.database import Records
from tests.contract.conftest import Another
from tests.contract.people import AWAY, HOME, LOCAL_OWNER, PASSWORD, People, make_people

VAULT = Vault({1: new_key()}, 1)


@pytest.fixture
async def people(records: Records, tmp_path: Path) -> AsyncIterator[People]:
    made = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    await made.make()
    yield made
    made.passwords.close()


async def refused(work: object) -> str:
    """The code that something is refused with."""
    with pytest.raises(CyberCorpError) as error:
        await work  # type: ignore[misc]
    return error.value.error_code


async def test_a_session(people: People, records: Records) -> None:
    """Log in, be somebody, log out: then nothing of it is good; all of it is in the trail, no secret is."""
    tokens = await people.login("ADA ")
    principal = await people.principal(tokens)
    assert (principal.name, principal.factors) == ("ada", frozenset({"pwd"}))
    assert [one.is_this for one in await people.sessions.list_(principal.id, tokens.session_id)] == [True]
    await people.logins.logout(principal)
    for work in (people.principal(tokens), people.sessions.refresh(tokens.refresh_token, HOME, "cybercorp/test")):
        with pytest.raises(UnauthenticatedError):
            await work
    trail = (await records.audit.page(limit=100)).records
    assert [one.operation for one in trail if one.intent is None][-2:] == ["login.password", "session.logout"]
    told = repr(trail)
    assert PASSWORD not in told
    assert tokens.refresh_token not in told
    assert tokens.access_token not in told


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "a wrong password"), ("nobody", PASSWORD), ("", PASSWORD), ("a\x00b", PASSWORD)]
)
async def test_who_is_not_let_in(people: People, name: str, password: str) -> None:
    """A wrong password, an unknown name and nonsense get the same answer."""
    with pytest.raises(UnauthenticatedError) as error:
        await people.login(name, password)
    assert (error.value.error_code, error.value.message) == ("wrong_credentials", "The name or the password is wrong.")


async def test_disabled_and_removed(people: People) -> None:
    """Whoever is disabled is out at once, everywhere, and nobody learns why; a removed name is never given again."""
    tokens = await people.login()
    await people.users.change(LOCAL_OWNER, "ada", UserChange(disabled=True))
    assert await refused(people.principal(tokens)) == "unauthenticated"
    assert await refused(people.login()) == "wrong_credentials"
    await people.users.change(LOCAL_OWNER, "ada", UserChange(disabled=False))
    await people.login()
    await people.users.remove(LOCAL_OWNER, "ada")
    assert await refused(people.login()) == "wrong_credentials"
    assert await refused(people.make()) == "user_name_taken"


async def test_a_service_account_does_not_log_in(people: People) -> None:
    """It has no password, and may not be given one."""
    with pytest.raises(InvalidInputError):
        await people.users.create(LOCAL_OWNER, NewUser(name="ci", kind=UserKind.SERVICE, password=PASSWORD))
    await people.users.create(LOCAL_OWNER, NewUser(name="ci", kind=UserKind.SERVICE))
    assert await refused(people.login("ci")) == "wrong_credentials"


@pytest.mark.parametrize(
    "password", ["short", "x" * 129, "aaaaaaaaaaaaaaaa", "password1234", "PassWordPassWord", "ada"]
)
async def test_weak_passwords(people: People, password: str) -> None:
    """Too short, too long, repeated or known to everybody; the error does not repeat it."""
    with pytest.raises(InvalidInputError) as error:
        await people.users.change(LOCAL_OWNER, "ada", UserChange(password=password))
    assert error.value.error_code == "weak_password"
    assert password not in str(error.value) or password == "ada"


async def test_totp(people: People) -> None:
    """Once set up it is asked for; each code is good once, also half a minute later, also after a clock went back."""
    app, _ = await people.set_up_totp(await people.login())
    assert await refused(people.login()) == "mfa_needed"
    assert await refused(people.login(code="000000")) == "wrong_code"
    people.clock.advance(30)
    code = app.at(people.clock.now_ms() // 1000)
    tokens = await people.login(code=code)
    assert "totp" in (await people.principal(tokens)).factors
    assert await refused(people.login(code=code)) == "wrong_code"
    people.clock.advance(60)
    before = app.at(people.clock.now_ms() // 1000 - 30)
    await people.login(code=f"{before[:3]} {before[3:]}")
    people.clock.advance(30)
    old = app.at(people.clock.now_ms() // 1000 - 60)
    assert await refused(people.login(code=old)) == "wrong_code"
    people.clock.step_wall(-60)
    assert await refused(people.login(code=app.at(people.clock.now_ms() // 1000))) == "wrong_code"


async def test_recovery_codes(people: People) -> None:
    """Each is good once; new ones end the old ones; without a real factor there are none."""
    first = await people.login()
    _, codes = await people.set_up_totp(first)
    assert len(set(codes)) == 10
    await people.login(code=codes[3].upper())
    assert await refused(people.login(code=codes[3])) == "wrong_code"
    principal = await people.principal(first)
    assert (await people.mfa.list_(principal.id)).recovery_codes_left == 9
    fresh = await people.mfa.new_recovery_codes(principal)
    assert await refused(people.login(code=codes[4])) == "wrong_code"
    await people.login(code=fresh.codes[0])
    [factor] = (await people.mfa.list_(principal.id)).factors
    await people.mfa.remove(principal, factor.id)
    assert (await people.mfa.list_(principal.id)).recovery_codes_left == 0
    await people.login()


async def test_nobody_touches_factors_of_others(people: People) -> None:
    """They are as absent as those that never were."""
    await people.make("eve")
    await people.set_up_totp(await people.login())
    mine = await people.principal(await people.login("eve"))
    [factor] = (await people.mfa.list_((await people.users.get("ada")).id)).factors
    assert await refused(people.mfa.remove(mine, factor.id)) == "factor_not_found"
    assert await refused(people.mfa.confirm_totp(mine, factor.id, "000000")) == "factor_not_found"


async def test_codes_are_limited(people: People) -> None:
    """Five wrong ones in five minutes; a code has a million values."""
    await people.set_up_totp(await people.login())
    codes = [await refused(people.login(code=f"{n:06}")) for n in range(8)]
    assert codes.count("wrong_code") == 5
    assert codes[-1] == "rate_limited"


async def test_guessing_does_not_lock_out(people: People) -> None:
    """From a network that was never used an account is guessed 30 times an hour, however many networks there are;
    who logs in from home does not notice."""
    await people.login()
    tried = 0
    for number in range(200):
        request = Login(name="ada", password="a wrong password", client=ClientType.CLI)
        try:
            await people.logins.login(request, f"203.0.113.{number}", "evil")
        except UnauthenticatedError:
            tried += 1
        except RateLimitedError:
            continue
    assert tried == 29  # the first log-in from home, which was not known then either, was one of the thirty
    await people.login()


async def test_failures_from_home_are_limited(people: People) -> None:
    """Ten in a quarter of an hour, also when a thousand come at once; a success forgets them."""
    for _ in range(9):
        await refused(people.login(password="a wrong password"))
    await people.login()
    answers = await asyncio.gather(*(refused(people.login(password="a wrong password")) for _ in range(60)))
    assert answers.count("wrong_credentials") == 10
    assert answers.count("rate_limited") == 50
    people.clock.advance(91)
    await people.login()


async def test_step_up(people: People, records: Records) -> None:
    """A log-in is fresh for five minutes; afterwards it must be proven again, with the code where there is one."""
    tokens = await people.login()
    (await people.principal(tokens)).require_step_up(people.clock.now_ms())
    people.clock.advance(301)
    renewed = await people.sessions.refresh(tokens.refresh_token, HOME, "cybercorp/test")
    principal = await people.principal(await people.sessions.refresh(renewed.refresh_token, HOME, "cybercorp/test"))
    with pytest.raises(StepUpRequiredError):
        principal.require_step_up(people.clock.now_ms())
    assert await refused(people.logins.step_up(principal, StepUp(password="a wrong password"))) == "wrong_credentials"
    await people.logins.step_up(principal, StepUp(password=PASSWORD))
    (await people.sessions.again(principal)).require_step_up(people.clock.now_ms())


async def test_a_new_password_ends_other_sessions(people: People) -> None:
    """The one that changed it stays; the old password is worth nothing."""
    here, there = await people.login(), await people.login()
    request = PasswordChange(old_password=PASSWORD, new_password="quite another sentence")
    await people.logins.change_password(await people.principal(here), request)
    await people.principal(here)
    assert await refused(people.principal(there)) == "unauthenticated"
    assert await refused(people.login()) == "wrong_credentials"
    await people.login(password="quite another sentence")


async def test_control_needs_a_second_factor(people: People) -> None:
    """An admin without one may look and set one up; with one, everything."""
    await people.make("root", role="admin")
    tokens = await people.login("root")
    principal = await people.principal(tokens)
    principal.require(Permission.HOSTS_VIEW)
    with pytest.raises(ForbiddenError) as error:
        principal.require(Permission.USERS_ADMIN)
    assert error.value.error_code == "mfa_required"
    await people.set_up_totp(tokens)
    (await people.principal(tokens)).require(Permission.USERS_ADMIN)


async def test_a_removed_factor_ends_other_sessions(people: People) -> None:
    """Whoever removes it may have lost it to somebody who is logged in with it."""
    tokens = await people.login()
    app, _ = await people.set_up_totp(tokens)
    people.clock.advance(60)
    other = await people.login(code=app.at(people.clock.now_ms() // 1000))
    principal = await people.principal(tokens)
    (factor,) = (await people.mfa.list_(principal.id)).factors
    await people.mfa.remove(principal, factor.id)
    assert (await people.principal(tokens)).name == "ada"
    assert await refused(people.principal(other)) == "unauthenticated"


async def test_nobody_grants_what_they_lack(people: People) -> None:
    """Somebody who may manage users makes no admin, and becomes none by another's password."""
    await people.make("root", role="admin")
    boss = await people.principal(await people.login("root"))
    assert (await people.users.create(boss, NewUser(name="eve", role="viewer"))).roles == ["viewer"]
    eve = LOCAL_OWNER.__class__(kind=boss.kind, id="u", name="eve", rights=people.policy.rights_of("nobody"))
    assert await refused(people.users.create(eve, NewUser(name="x", role="admin"))) == "grants_more"
    assert await refused(people.users.change(eve, "root", UserChange(password=PASSWORD))) == "grants_more"
    assert await refused(people.users.create(boss, NewUser(name="x", role="unheard"))) == "role_not_found"


async def test_the_last_admin_stays(people: People) -> None:
    """Nobody saws off the branch; on the server's machine its owner may."""
    await people.make("root", role="admin")
    boss = await people.principal(await people.login("root"))
    with pytest.raises(ConflictError):
        await people.users.remove(boss, "root")
    with pytest.raises(ConflictError):
        await people.users.change(boss, "root", UserChange(disabled=True))
    await people.make("second", role="admin")
    await people.users.remove(boss, "second")
    await people.users.remove(LOCAL_OWNER, "root")


async def test_sessions_end_by_themselves(people: People) -> None:
    """After half an hour without a word, and after twelve hours whatever was said; a wallboard's after thirty days."""
    tokens = await people.login()
    for _ in range(35):
        people.clock.advance(20 * 60)
        tokens = await people.sessions.refresh(tokens.refresh_token, HOME, "cybercorp/test")
    people.clock.advance(20 * 60)
    assert await refused(people.sessions.refresh(tokens.refresh_token, HOME, "cybercorp/test")) == "unauthenticated"
    idle = await people.login()
    people.clock.advance(30 * 60)
    assert await refused(people.sessions.refresh(idle.refresh_token, HOME, "cybercorp/test")) == "unauthenticated"
    request = Login(name="ada", password=PASSWORD, client=ClientType.WALLBOARD)
    board = await people.logins.login(request, HOME, "wall")
    people.clock.advance(29 * 86_400)
    board = await people.sessions.refresh(board.refresh_token, HOME, "wall")
    assert (await people.principal(board)).may(Permission.LIVE_CONNECT)
    assert not (await people.principal(board)).may(Permission.TOKENS_CREATE)


async def test_an_answer_that_was_lost_comes_again(people: People) -> None:
    """The same client gets the same successor for ten seconds; afterwards, or elsewhere, the family ends."""
    first = await people.login()
    second = await people.sessions.refresh(first.refresh_token, HOME, "cybercorp/test")
    people.clock.advance(9)
    again = await people.sessions.refresh(first.refresh_token, HOME, "cybercorp/test")
    assert again.refresh_token == second.refresh_token
    third = await people.sessions.refresh(second.refresh_token, HOME, "cybercorp/test")
    assert await refused(people.sessions.refresh(first.refresh_token, HOME, "cybercorp/test")) == "unauthenticated"
    for work in (people.sessions.refresh(third.refresh_token, HOME, "cybercorp/test"), people.principal(third)):
        assert await refused(work) == "unauthenticated"


@pytest.mark.parametrize(
    ("network", "agent", "wait"), [(AWAY, "cybercorp/test", 1), (HOME, "evil", 1), (HOME, "cybercorp/test", 11)]
)
async def test_a_stolen_refresh_token_ends_the_family(
    people: People, records: Records, network: str, agent: str, wait: float
) -> None:
    """Whoever comes second, the thief or the owner, ends the session; and it is in the trail."""
    first = await people.login()
    second = await people.sessions.refresh(first.refresh_token, HOME, "cybercorp/test")
    people.clock.advance(wait)
    assert await refused(people.sessions.refresh(first.refresh_token, network, agent)) == "unauthenticated"
    assert await refused(people.principal(second)) == "unauthenticated"
    assert [one.network for one in (await records.audit.page(operations=["session.reuse"])).records] == [network]


async def test_a_hundred_refreshes_at_once_on_two_instances(
    people: People, records: Records, another: Another, tmp_path: Path
) -> None:
    """All get the one successor, none is taken for a thief, and it works."""
    other = await make_people(await another(), VAULT, tmp_path / "other.jsonl", people.clock)
    first = await people.login()
    both = [people.sessions, other.sessions] * 50
    answers = await asyncio.gather(*(one.refresh(first.refresh_token, HOME, "cybercorp/test") for one in both))
    assert len({one.refresh_token for one in answers}) == 1
    await other.sessions.refresh(answers[0].refresh_token, HOME, "cybercorp/test")
    other.passwords.close()


@pytest.mark.slow
async def test_a_code_sent_twice_at_once_is_good_once(
    people: People, records: Records, another: Another, tmp_path: Path
) -> None:
    """A thousand codes, each sent to two instances at the same moment: one log-in each."""
    other = await make_people(await another(), VAULT, tmp_path / "other.jsonl", people.clock)
    app, _ = await people.set_up_totp(await people.login())
    user = await people.users.get("ada")
    for _ in range(1000):
        people.clock.advance(30)
        code = app.at(people.clock.now_ms() // 1000)
        answers = await asyncio.gather(*(one.mfa.check_code(user.id, code) for one in (people, other)))
        assert sorted(answers, key=str) == [None, "totp"]
    other.passwords.close()


async def test_another_instance_notices_within_two_seconds(
    people: People, records: Records, another: Another, tmp_path: Path
) -> None:
    """A session that ended here is over there, and so are rights."""
    other = await make_people(await another(), VAULT, tmp_path / "other.jsonl", people.clock)
    tokens = await people.login()
    assert (await other.principal(tokens)).name == "ada"
    await people.sessions.revoke(LOCAL_OWNER, tokens.session_id)
    people.clock.advance(2)
    assert await refused(other.principal(tokens)) == "unauthenticated"
    assert not other.policy.rights_of((await people.users.get("ada")).id).allows(Permission.HOSTS_VIEW)
    other.passwords.close()


async def test_sessions_of_others(people: People) -> None:
    """Are as absent as those that never were, but for whoever manages users."""
    await people.make("eve")
    tokens = await people.login()
    eve = await people.principal(await people.login("eve"))
    with pytest.raises(NotFoundError):
        await people.sessions.revoke(eve, tokens.session_id)
    await people.sessions.revoke(await people.principal(tokens), tokens.session_id)
    assert await refused(people.principal(tokens)) == "unauthenticated"
