"""Who asks, and what may they."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ForbiddenError, UnauthenticatedError
from cybercorp.protocol.permissions import Permission
from cybercorp.security.tokens import TokenKind, new_token, token_hash
from cybercorp.server.services.access import AccessService
from cybercorp.server.services.policy import AGENT
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.database import Records


class RacingClock(ManualClock):
    """A clock by which time passes whenever somebody looks: a machine so busy that every line takes a second."""

    def now_ms(self) -> int:
        self.advance(1)
        return super().now_ms()


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    """Empty record tables."""
    made = await Records.open(tmp_path / "records.db")
    yield made
    await made.close()


@pytest.fixture
def access(records: Records) -> AccessService:
    return AccessService(records.tokens, RacingClock())


async def keep(records: Records, kind: TokenKind, expires_at_ms: int | None = None) -> str:
    token = new_token(kind)
    await records.tokens.create(kind, token_hash(token), 0, expires_at_ms=expires_at_ms)
    return token


async def test_a_token_without_an_end_is_always_good(records: Records, access: AccessService) -> None:
    """However long the machine takes between two looks at the clock."""
    token = await keep(records, TokenKind.OWNER)
    for _ in range(20):
        assert (await access.authenticate(token)).kind is PrincipalKind.OWNER


@pytest.mark.parametrize("token", [None, "", "x", "cco_x_00000000", "é", "cco_" + "a" * 10_000])
async def test_what_is_no_token(access: AccessService, token: str | None) -> None:
    """Nothing, nonsense, a wrong checksum and a megabyte are all refused before the database is asked."""
    with pytest.raises(UnauthenticatedError) as refused:
        await access.authenticate(token)
    assert refused.value.hint


async def test_a_hash_of_another_kind(records: Records, access: AccessService) -> None:
    """A token's text says its kind; a row of another kind does not lend it its rights."""
    token = new_token(TokenKind.OWNER)
    await records.tokens.create(TokenKind.ENROLMENT, token_hash(token), 0)
    with pytest.raises(UnauthenticatedError):
        await access.authenticate(token)


async def test_the_owner_of_an_earlier_run(records: Records, access: AccessService) -> None:
    """Is kept if it is good; a new one ends all earlier ones."""
    first = await access.make_owner_token()
    later = AccessService(records.tokens, ManualClock())
    assert await later.keep_owner_token(first)
    assert (await later.authenticate(first)).kind is PrincipalKind.OWNER
    second = await later.make_owner_token()
    for wrong in (first, new_token(TokenKind.OWNER), await keep(records, TokenKind.ENROLMENT)):
        assert not await later.keep_owner_token(wrong)
    with pytest.raises(UnauthenticatedError):
        await later.authenticate(first)
    assert (await later.authenticate(second)).kind is PrincipalKind.OWNER


async def test_permissions(records: Records, access: AccessService) -> None:
    """An agent may connect and nothing else; the owner everything but that; an enrolment nothing."""
    agent = Principal(kind=PrincipalKind.AGENT, id="host_1", name="web-1", rights=AGENT, host_id="host_1")
    agent.require(Permission.AGENT_CONNECT)
    with pytest.raises(ForbiddenError, match="hosts:view"):
        agent.require(Permission.HOSTS_VIEW)
    owner = await access.authenticate(await access.make_owner_token())
    owner.require(Permission.HOSTS_EDIT)
    with pytest.raises(ForbiddenError):
        owner.require(Permission.AGENT_CONNECT)
    with pytest.raises(UnauthenticatedError):
        await access.authenticate(await keep(records, TokenKind.ENROLMENT))


async def test_the_owner_is_local(access: AccessService) -> None:
    """The token of owner.json is worth nothing from another machine, however it got there."""
    token = await access.make_owner_token()
    for network in ("127.0.0.1", "::1", "::ffff:127.0.0.1", ""):
        assert (await access.authenticate(token, network)).kind is PrincipalKind.OWNER
    for network in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "127evil"):
        with pytest.raises(ForbiddenError, match="own machine"):
            await access.authenticate(token, network)
