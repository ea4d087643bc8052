"""Where log-ins are kept: in files that only their owner reads, or in a keyring; renewed by one process at a time."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from cybercorp.client.authorization import SessionToken
from cybercorp.client.session_store import SessionStore, StoredSession
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import AccessError, SettingsError, UnauthenticatedError
from cybercorp.protocol.logins import Tokens


def session(until_ms: int = 0, refresh: str = "ccr_1") -> StoredSession:
    return StoredSession(
        url="https://a:1",
        user="ada",
        session_id="s",
        access_token=f"access of {refresh}",
        access_until_ms=until_ms,
        refresh_token=refresh,
    )


class MemoryKeyring(KeyringBackend):
    """A keyring as an operating system has one."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self.kept.pop((service, username), None)


@pytest.fixture(autouse=True)
def _no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


def test_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    """Kept, found, forgotten; 0600 in a folder of 0700."""
    store = SessionStore("prod", tmp_path)
    assert store.load() is None
    store.save(session())
    assert SessionStore("prod", tmp_path).load() == session()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert store.remove()
    assert not store.remove()
    assert store.load() is None


def test_what_others_can_read_is_refused(tmp_path: Path) -> None:
    """It may have been read; and a damaged file says so."""
    store = SessionStore("prod", tmp_path)
    store.save(session())
    store.path.chmod(0o640)
    with pytest.raises(AccessError) as exposed:
        store.load()
    assert exposed.value.error_code == "credential_exposed"
    store.path.chmod(0o600)
    store.path.write_text("{")
    with pytest.raises(SettingsError, match="damaged"):
        store.load()


def test_a_keyring_keeps_the_tokens(tmp_path: Path) -> None:
    """Then no file holds one; forgetting forgets it there."""
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    store = SessionStore("prod", tmp_path)
    store.save(session())
    assert json.loads(store.path.read_text()) == {"keyring": True, "url": "https://a:1"}
    assert SessionStore("prod", tmp_path).load() == session()
    store.save(session(refresh="ccr_2"))
    assert store.load() == session(refresh="ccr_2")
    store.remove()
    assert not ring.kept


def answer(number: int) -> Tokens:
    return Tokens(
        access_token=f"access {number}", expires_in_s=300, refresh_token=f"ccr_{number}", session_id="s", user="ada"
    )


async def test_a_token_is_renewed_before_it_is_over(tmp_path: Path) -> None:
    """Half a minute before; by one of many that need it at once; the others get the new one."""
    store, asked = SessionStore("prod", tmp_path), []
    store.save(session(SystemClock().now_ms() + 29_000))

    async def renew(token: str) -> Tokens:
        asked.append(token)
        await asyncio.sleep(0)
        return answer(2)

    tokens = [SessionToken(SessionStore("prod", tmp_path), renew, blocking=False) for _ in range(10)]
    assert set(await asyncio.gather(*(one.token() for one in tokens))) == {"access 2"}
    assert asked == ["ccr_1"]
    assert store.load() is not None
    assert [await one.token() for one in tokens] == ["access 2"] * 10
    assert asked == ["ccr_1"]


async def test_a_session_that_is_over_is_forgotten(tmp_path: Path) -> None:
    """The next command says that nobody is logged in, without asking the server."""
    store = SessionStore("prod", tmp_path)
    store.save(session())

    async def renew(token: str) -> Tokens:
        raise UnauthenticatedError("over")

    with pytest.raises(UnauthenticatedError, match="not logged in to 'prod'"):
        await SessionToken(store, renew, blocking=False).token()
    assert store.load() is None


async def test_a_refused_token_is_not_sent_again(tmp_path: Path) -> None:
    """That of a newer log-in is taken; where there is none, the session is renewed, or forgotten where it is over."""
    store, asked = SessionStore("prod", tmp_path), []
    later = SystemClock().now_ms() + 300_000
    store.save(session(later))

    async def renew(token: str) -> Tokens:
        asked.append(token)
        raise UnauthenticatedError("over")

    token = SessionToken(store, renew, blocking=False)
    assert await token.token() == "access of ccr_1"
    store.save(session(later, refresh="ccr_2"))
    assert token.refused("access of ccr_1")
    assert await token.token() == "access of ccr_2"
    assert not asked
    assert token.refused("access of ccr_2")
    with pytest.raises(UnauthenticatedError, match="not logged in"):
        await token.token()
    assert asked == ["ccr_2"]
    assert store.load() is None


@pytest.mark.parametrize("over", [True, False])
async def test_a_log_in_during_a_renewal_is_kept(tmp_path: Path, over: bool) -> None:
    """Whatever the server says of the old session, the new one is neither overwritten nor forgotten."""
    store = SessionStore("prod", tmp_path)
    store.save(session())
    newer = session(SystemClock().now_ms() + 300_000, refresh="ccr_9")

    async def renew(token: str) -> Tokens:
        store.save(newer)
        if over:
            raise UnauthenticatedError("over")
        return answer(2)

    assert await SessionToken(store, renew, blocking=False).token() == "access of ccr_9"
    assert store.load() == newer


async def test_a_log_out_during_a_renewal_stays(tmp_path: Path) -> None:
    """The answer that comes after it brings nothing back."""
    store = SessionStore("prod", tmp_path)
    store.save(session())

    async def renew(token: str) -> Tokens:
        store.remove()
        return answer(2)

    with pytest.raises(UnauthenticatedError, match="not logged in"):
        await SessionToken(store, renew, blocking=False).token()
    assert store.load() is None


def test_nothing_secret_in_what_is_shown() -> None:
    """Neither in a session's repr nor in an answer's."""
    assert "ccr_1" not in repr(session())
    assert "ccr_1" not in repr(answer(1))
