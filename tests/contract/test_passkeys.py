"""Passkeys on both databases: set up, log in, prove again; what is forged, replayed or somebody else's is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.protocol.mfa import FactorKind, RecoveryCodes
from cybercorp.protocol.passkeys import Ceremony, CeremonyCode, PasskeyAnswer, PasskeyLogin
from cybercorp.protocol.users import UserChange
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.ceremonies import CODES, LIFE_S
from cybercorp.server.services.principals import STEP_UP_MS
from cybercorp.store.records.database import Records
from tests.authenticator import PRESENT, VERIFIED, Authenticator, text
from tests.contract.conftest import Another
from tests.contract.people import AWAY, HOME, LOCAL_OWNER, People, make_people

VAULT = Vault({1: new_key()}, 1)
SITE = "https://fleet.test"


@pytest.fixture
async def people(records: Records, tmp_path: Path) -> AsyncIterator[People]:
    made = await make_people(records, VAULT, tmp_path / "audit.jsonl")
    await made.make()
    await made.make("eve")
    yield made
    made.passwords.close()


async def refused(work: Awaitable[object]) -> str:
    """The code that something is refused with."""
    with pytest.raises(CyberCorpError) as error:
        await work
    return error.value.error_code


async def on_page(people: People, ceremony: Ceremony, use: Callable[[dict[str, Any]], dict[str, Any]]) -> CeremonyCode:
    """What a browser does with the link, and what the terminal sends afterwards."""
    shown = await people.passkeys.options(ceremony.ticket, SITE, AWAY)
    made = await people.passkeys.answer(PasskeyAnswer(ticket=ceremony.ticket, credential=use(shown.options)), AWAY)
    return CeremonyCode(ticket=ceremony.ticket, secret=ceremony.secret, code=made.code)


async def register(people: People, device: Authenticator, name: str = "ada") -> RecoveryCodes:
    principal = await people.principal(await people.login(name))
    ceremony = await people.passkeys.begin_registration(principal, "key ring")
    return await people.passkeys.finish_registration(principal, await on_page(people, ceremony, device.create))


async def log_in(people: People, device: Authenticator, **how: Any) -> Tokens:
    ceremony = await people.passkeys.begin_login(PasskeyLogin(client=ClientType.CLI), HOME)
    sent = await on_page(people, ceremony, lambda options: device.get(options, **how))
    return await people.passkeys.finish_login(sent, HOME, "test")


async def test_from_set_up_to_log_in(people: People, records: Records) -> None:
    """With the first passkey come recovery codes; it logs its user in, and nothing of a secret is in the trail."""
    device = Authenticator(SITE)
    codes = await register(people, device)
    assert len(codes.codes) == 10
    (factor,) = (await people.mfa.list_((await records.users.get("ada")).id)).factors
    assert (factor.kind, factor.name) == (FactorKind.PASSKEY, "key ring")
    assert await refused(people.login()) == "mfa_needed"
    assert (await people.login(code=codes.codes[0])).user == "ada"
    tokens = await log_in(people, device)
    principal = await people.principal(tokens)
    assert (principal.name, principal.factors) == ("ada", frozenset({"passkey"}))
    trail = (await records.audit.page(limit=100)).records
    assert [one.operation for one in trail][-1] == "login.passkey"
    assert tokens.refresh_token not in repr(trail)


async def test_the_options_ask_for_what_makes_it_two_factors(people: People) -> None:
    """The user is verified, the passkey is found without a name, no attestation is asked for."""
    principal = await people.principal(await people.login())
    ceremony = await people.passkeys.begin_registration(principal, "")
    made = (await people.passkeys.options(ceremony.ticket, SITE, AWAY)).options
    assert made["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert (made["attestation"], made["rp"]["id"], made["excludeCredentials"]) == ("none", "fleet.test", [])
    device = Authenticator(SITE)
    await register(people, device)
    login = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    asked = (await people.passkeys.options(login.ticket, SITE, AWAY)).options
    assert (asked["userVerification"], asked["allowCredentials"], asked["rpId"]) == ("required", [], "fleet.test")
    again = await people.passkeys.begin_registration(principal, "")
    known = (await people.passkeys.options(again.ticket, SITE, AWAY)).options["excludeCredentials"]
    assert [one["id"] for one in known] == [text(device.credential_id)]


FORGED: dict[str, dict[str, Any]] = {
    "not verified": {"flags": PRESENT},
    "nobody there": {"flags": VERIFIED},
    "another site": {"origin": "https://evil.test"},
    "a sub-domain": {"origin": "https://a.fleet.test"},
    "another port": {"origin": "https://fleet.test:8443"},
    "no TLS": {"origin": "http://fleet.test"},
    "another name": {"rp_id": "evil.test"},
    "an old challenge": {"challenge": text(b"x" * 32)},
    "no challenge": {"challenge": ""},
    "another ceremony": {"kind": "webauthn.other"},
}


@pytest.mark.parametrize("how", [*FORGED.values(), {"forged": True}, {"user_handle": b"user_nobody"}, {"counter": 1}])
async def test_what_is_not_let_in(people: People, how: dict[str, Any]) -> None:
    """Each is refused and told in the trail; the link goes on, with another challenge."""
    device = Authenticator(SITE)
    await register(people, device)
    await log_in(people, device)  # its counter is 1 now
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    assert await refused(on_page(people, ceremony, lambda options: device.get(options, **how))) == "wrong_passkey"
    sent = await on_page(people, ceremony, device.get)
    assert (await people.passkeys.finish_login(sent, HOME, "test")).user == "ada"


@pytest.mark.parametrize("how", [*FORGED.values(), {"attestation": "packed"}, {"cross_origin": True}])
async def test_what_is_not_set_up(people: People, how: dict[str, Any]) -> None:
    """A passkey that was made elsewhere, or by nobody who is known to be there."""
    principal = await people.principal(await people.login())
    ceremony = await people.passkeys.begin_registration(principal, "")
    device = Authenticator(SITE)
    work = on_page(people, ceremony, lambda options: device.create(options, **how))
    assert await refused(work) == "passkey_refused"
    assert (await people.mfa.list_(principal.id)).factors == []


async def test_a_challenge_is_good_once(people: People) -> None:
    """An answer that was seen before opens nothing, in the same ceremony or another; an old page's neither."""
    device = Authenticator(SITE)
    await register(people, device)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    seen: list[dict[str, Any]] = []

    def use(options: dict[str, Any]) -> dict[str, Any]:
        seen.append(device.get(options))
        return seen[0]

    sent = await on_page(people, ceremony, use)
    again = PasskeyAnswer(ticket=ceremony.ticket, credential=seen[0])
    assert await refused(people.passkeys.answer(again, AWAY)) == "ceremony_over"
    await people.passkeys.finish_login(sent, HOME, "test")
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "ceremony_over"
    other = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    assert await refused(on_page(people, other, lambda options: seen[0])) == "wrong_passkey"
    stale = (await people.passkeys.options(other.ticket, SITE, AWAY)).options
    await people.passkeys.options(other.ticket, SITE, AWAY)
    answer = PasskeyAnswer(ticket=other.ticket, credential=device.get(stale))
    assert await refused(people.passkeys.answer(answer, AWAY)) == "wrong_passkey"


async def test_a_device_that_does_not_count(people: People) -> None:
    """Its counter is always 0, and it may go on; one that counted may not begin to say 0."""
    quiet = Authenticator(SITE, counts=False)
    await register(people, quiet)
    for _ in range(2):
        await log_in(people, quiet)
    loud = Authenticator(SITE)
    await register(people, loud, "eve")
    await log_in(people, loud)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    assert await refused(on_page(people, ceremony, lambda options: loud.get(options, counter=0))) == "wrong_passkey"


async def test_the_link_alone_is_worth_nothing(people: People) -> None:
    """The ticket, even with the page's code, opens nothing without the terminal's secret, nor that without the code."""
    device = Authenticator(SITE)
    await register(people, device)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    unanswered = CeremonyCode(ticket=ceremony.ticket, secret=ceremony.secret, code="")
    assert await refused(people.passkeys.finish_login(unanswered, HOME, "test")) == "wrong_code"
    sent = await on_page(people, ceremony, device.get)
    stranger = await people.passkeys.begin_login(PasskeyLogin(), AWAY)
    for secret in (stranger.secret, "", ceremony.ticket):
        stolen = CeremonyCode(ticket=ceremony.ticket, secret=secret, code=sent.code)
        assert await refused(people.passkeys.finish_login(stolen, AWAY, "test")) == "ceremony_over"
    typed = CeremonyCode(ticket=sent.ticket, secret=sent.secret, code=f" {sent.code[:4].upper()}-{sent.code[4:]} ")
    assert (await people.passkeys.finish_login(typed, HOME, "test")).user == "ada"


async def test_codes_are_not_guessed(people: People) -> None:
    """Five tries in five minutes, then not even the right one; the ceremony is over before they come back."""
    device = Authenticator(SITE)
    await register(people, device)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    sent = await on_page(people, ceremony, device.get)
    wrong = CeremonyCode(ticket=sent.ticket, secret=sent.secret, code="aaaaaaaa")
    for _ in range(CODES.amount):
        assert await refused(people.passkeys.finish_login(wrong, HOME, "test")) == "wrong_code"
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "rate_limited"
    people.clock.advance(LIFE_S)
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "ceremony_over"


async def test_ceremonies_belong_to_their_session_and_purpose(people: People) -> None:
    """One session's proof steps up no other; a log-in's ends no step-up; eve's passkey is not ada's."""
    ada, eve = Authenticator(SITE), Authenticator(SITE)
    codes = await register(people, ada)
    await register(people, eve, "eve")
    mine = await people.principal(await people.login(code=codes.codes[0]))
    other = await people.principal(await people.login(code=codes.codes[1]))
    ceremony = await people.passkeys.begin_step_up(mine)
    shown = (await people.passkeys.options(ceremony.ticket, SITE, AWAY)).options
    assert [one["id"] for one in shown["allowCredentials"]] == [text(ada.credential_id)]
    assert await refused(on_page(people, ceremony, eve.get)) == "wrong_passkey"
    assert await refused(on_page(people, ceremony, lambda one: eve.get(one, user_handle=b""))) == "wrong_passkey"
    sent = await on_page(people, ceremony, ada.get)
    assert await refused(people.passkeys.finish_step_up(other, sent)) == "ceremony_over"
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "ceremony_over"
    assert await refused(people.passkeys.finish_registration(mine, sent)) == "ceremony_over"
    people.clock.advance(STEP_UP_MS / 1000 - 60)
    sent = await on_page(people, await people.passkeys.begin_step_up(mine), ada.get)
    await people.passkeys.finish_step_up(mine, sent)
    proven = await people.sessions.again(mine)
    assert proven.stepped_up_at_ms == people.clock.now_ms()
    assert proven.factors == frozenset({"pwd", "totp", "passkey"})


async def test_who_is_disabled_or_lost_the_passkey_is_not_let_in(people: People) -> None:
    """Also between the page and the code."""
    device = Authenticator(SITE)
    await register(people, device)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    sent = await on_page(people, ceremony, device.get)
    await people.users.change(LOCAL_OWNER, "ada", UserChange(disabled=True))
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "wrong_passkey"
    await people.users.change(LOCAL_OWNER, "ada", UserChange(disabled=False))
    tokens = await log_in(people, device)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    sent = await on_page(people, ceremony, device.get)
    principal = await people.principal(tokens)
    (factor,) = (await people.mfa.list_(principal.id)).factors
    await people.mfa.remove(principal, factor.id)
    assert await refused(people.passkeys.finish_login(sent, HOME, "test")) == "wrong_passkey"
    assert await refused(log_in(people, device)) == "wrong_passkey"


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://fleet.test", "https://192.0.2.1", "https://[::1]", "https://[", "fleet.test"]
)
async def test_pages_where_no_passkey_works(people: People, origin: str | None) -> None:
    """Plain http, numbers and nonsense are told with what to do, before the browser refuses without a word."""
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    assert await refused(people.passkeys.options(ceremony.ticket, origin, AWAY)) == "passkey_site"
    assert (await people.passkeys.options(ceremony.ticket, "http://localhost:8765", AWAY)).options[
        "rpId"
    ] == "localhost"


async def test_two_instances(people: People, another: Another, tmp_path: Path) -> None:
    """Begun on one, shown by another, ended by both at once: exactly one session; the counter is taken once."""
    device = Authenticator(SITE)
    await register(people, device)
    second = await make_people(await another(), VAULT, tmp_path / "second.jsonl", people.clock)
    ceremony = await people.passkeys.begin_login(PasskeyLogin(), HOME)
    sent = await on_page(second, ceremony, device.get)
    ends = [one.passkeys.finish_login(sent, HOME, "test") for one in (people, second, people)]
    ended = await asyncio.gather(*ends, return_exceptions=True)
    assert sum(isinstance(one, Tokens) for one in ended) == 1
    first, other = [await one.passkeys.begin_login(PasskeyLogin(), HOME) for one in (people, second)]
    shown = [
        (await one.passkeys.options(begun.ticket, SITE, AWAY)).options
        for one, begun in ((people, first), (second, other))
    ]
    count = device.counter + 1
    answers = [
        one.passkeys.answer(PasskeyAnswer(ticket=begun.ticket, credential=device.get(asked, counter=count)), AWAY)
        for one, begun, asked in ((people, first, shown[0]), (second, other, shown[1]))
    ]
    told = await asyncio.gather(*answers, return_exceptions=True)
    assert sorted(getattr(one, "error_code", "taken") for one in told) == ["taken", "wrong_passkey"]
    second.passwords.close()
