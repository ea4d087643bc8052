"""Profiles that show a fixed token: by whatever they ask, they learn the next keys of the server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from cybercorp import AsyncClient, Client
from cybercorp.client.pins import learn_pins
from cybercorp.client.profiles import Profile, find_credential, keep_authority, read_profiles, save_profile
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import NotFoundError
from cybercorp.protocol.servers import PINS_HEADER
from cybercorp.security.certificates import pin_of, split_pem
from cybercorp.security.credentials import Credential, read_credential
from cybercorp.server.preparing import open_preparations
from cybercorp.server.settings import ServerSettings
from tests.integration.serving import ServerThread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """It speaks TLS on loopback, with an authority of its own."""
    folder = tmp_path_factory.mktemp("learned") / "data"

    async def certify() -> None:
        async with open_preparations(ServerSettings(data_dir=str(folder)), SystemClock()) as prepared:
            await prepared.authority.create(None, ["monitor.test"])

    asyncio.run(certify())
    with ServerThread(folder, tls=True) as made:
        yield made


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ServerThread) -> Path:
    """A user's configuration whose only profile shows a fixed token, and knows both keys of the server."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path))
    owner = read_credential(server.folder / "owner.json")
    assert owner is not None
    profile = Profile(url=owner.url, token=owner.token, pins=owner.pins, authority=owner.authority)
    save_profile("prod", profile, default=True)
    return tmp_path


def rotate(server: ServerThread) -> list[str]:
    """The backup signs from now on; the pins afterwards. The owner of this machine does it, not the profile."""
    owner = read_credential(server.folder / "owner.json")
    with Client(credential=owner) as client:
        return client.server.rotate_authority().pins


def profile() -> Profile:
    return read_profiles().profiles["prod"]


def ask() -> None:
    with Client(profile="prod") as client:
        client.hosts.list()


def download() -> None:
    with Client(profile="prod") as client:
        pieces: list[bytes] = []

        async def take_all() -> None:
            await client._nouns.transport.download("/api/v1/audit/export", pieces.append)

        with pytest.raises(StopIteration):
            take_all().send(None)
        assert b"".join(pieces)


def stream() -> None:
    async def read() -> None:
        async with AsyncClient(profile="prod") as client:
            parameters = (("metric", "cpu"), ("start_ms", 1), ("end_ms", 1001), ("step_ms", 1000))
            with contextlib.suppress(NotFoundError):  # there is no host yet: that is said over the new key as well
                async for _ in client._nouns.transport.stream("/api/v1/metrics/export", params=parameters):
                    pass

    asyncio.run(read())


def live() -> None:
    with Client(profile="prod") as client:
        updates = client.live("hosts")
        assert next(updates) is not None
        updates.close()


@pytest.mark.parametrize("way", [ask, download, stream, live])
def test_every_way_follows_rotations(server: ServerThread, config: Path, way: Callable[[], None]) -> None:
    """Three rotations one after the other: the backup is looked for, and the next one learned and kept, each time."""
    for _ in range(3):
        pins = rotate(server)
        assert pins != list(profile().pins)
        way()
        assert list(profile().pins) == pins
        assert {pin_of(one) for one in split_pem(profile().authority)} <= set(pins)
        assert profile().token == server.token


def test_a_running_program_learns_them_too(server: ServerThread, config: Path) -> None:
    """One client through three rotations, on the connection that it has."""
    with Client(profile="prod") as client:
        for _ in range(3):
            client.hosts.list()
            pins = rotate(server)
            client.hosts.list()
            assert list(profile().pins) == pins


def test_pins_are_told_over_tls_alone(server: ServerThread, tmp_path: Path) -> None:
    """In answers and refusals of a server with an authority of its own; in plain text there is nothing to believe."""
    for path, status in (("/health/live", 200), ("/api/v1/hosts", 401)):
        answer = httpx.get(server.url + path, verify=False, trust_env=False)
        assert (answer.status_code, len(answer.headers[PINS_HEADER].split())) == (status, 2)
    with ServerThread(tmp_path / "plain") as plain:
        assert PINS_HEADER not in plain.http.get("/api/v1/hosts").headers


A, B, C, D = (f"sha256:{letter * 43}" for letter in "abcd")


@pytest.mark.parametrize(
    ("url", "known", "told", "after"),
    [
        ("https://a:1", (A, B), (B, C), (B, C)),
        ("https://a:1", (A,), (A, B), (A, B)),
        ("https://a:1", (A, B), (A, B), (A, B)),
        ("https://a:1", (A, B), (C, D), (A, B)),
        ("https://a:1", (), (A, B), ()),
        ("https://a:1", (A, B), (), (A, B)),
        ("https://a:1", (A, B), (B, "sha256:short"), (A, B)),
        ("https://a:1", (A, B), (B, "\x1b]0;x\x07"), (A, B)),
        ("http://127.0.0.1:1", (A, B), (B, C), (A, B)),
    ],
)
def test_what_is_believed_of_pins(
    url: str, known: tuple[str, ...], told: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """A rotation, whose one key was known; nothing that replaces all of them, is no pin, or came over plain HTTP."""
    assert learn_pins(Credential(url=url, token="t", pins=known), told).pins == after


def test_an_old_authority_is_forgotten(server: ServerThread, config: Path) -> None:
    """What the pins do not name any more is trusted no more."""
    before = find_credential(profile="prod")
    old, kept = split_pem(before.authority)
    learned = learn_pins(before, [pin_of(kept), C])
    assert learned.authority == kept
    assert profile().authority == kept
    assert old not in profile().authority


def test_changes_at_once_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many programs that keep pins, log in and out at the same moment: no change of another one is lost."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path))
    for number in range(12):
        save_profile(f"p{number}", Profile(url=f"https://a:{number + 1}", pins=(A,)))
    begin = threading.Barrier(12)

    def change(number: int) -> None:
        begin.wait(10)
        if number % 2:
            keep_authority(Credential(url="", token="", profile=f"p{number}", pins=(B,)))
        else:
            save_profile(f"q{number}", Profile(url="https://b:1"))

    threads = [threading.Thread(target=change, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    profiles = read_profiles().profiles
    assert {name for name, one in profiles.items() if one.pins == (B,)} == {f"p{number}" for number in range(1, 12, 2)}
    assert {name for name in profiles if name.startswith("q")} == {f"q{number}" for number in range(0, 12, 2)}


def test_credentials_without_a_profile_are_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for an address that is no profile's."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path))
    one = Credential(url="https://a:1", token="t", pins=(A, B))
    assert learn_pins(one, (B, C)) == msgspec.structs.replace(one, pins=(B, C))
    assert list(tmp_path.iterdir()) == []
