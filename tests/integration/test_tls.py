"""TLS with real servers and real clients: who is believed, who is not, renewal, rotation, certificates of others."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cybercorp.agent.enrolment import join
from cybercorp.client.agent_connection import AgentConnection
from cybercorp.client.agents import address_of
from cybercorp.client.profiles import find_credential
from cybercorp.client.synchronous import Client
from cybercorp.client.trust import fetch_authorities, fetch_pinned
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import SettingsError, UnreachableError, UntrustedServerError
from cybercorp.protocol.agents import Enrolment
from cybercorp.security.certificates import check_pin, issue, make_authority, pin_of, split_pem
from cybercorp.security.credentials import Credential, read_credential
from cybercorp.server.exposure import address_for_others
from cybercorp.server.settings import ServerSettings
from tests.attacks.people import LOCAL_OWNER, within
from tests.integration.serving import ServerThread

PASSWORD = "four unrelated words"


def prepare(folder: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command for a server that is stopped."""
    return subprocess.run(
        [sys.executable, "-m", "cybercorp", "--data-dir", str(folder), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "CYBERCORP_CONFIG_DIR": str(folder.parent / "config")},
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a certificate and an owner, made by the two commands."""
    folder: Path = tmp_path_factory.mktemp("tls") / "data"
    made = prepare(folder, "server", "create-certificate", "monitor.test")
    assert made.returncode == 0, made.stderr
    assert check_pin(made.stdout.splitlines()[-1])
    owned = prepare(folder, "server", "create-owner", "root", "--password-stdin", given=f"{PASSWORD}\n")
    assert owned.returncode == 0, owned.stderr
    return folder


@pytest.fixture
def server(prepared: Path) -> Iterator[ServerThread]:
    """It speaks TLS on loopback, as it does elsewhere."""
    with ServerThread(prepared, tls=True, password_memory_kib=19_456) as made:
        yield made


def owner_of(server: ServerThread) -> Credential:
    found = read_credential(server.folder / "owner.json")
    assert found is not None
    return found


@pytest.mark.slow
def test_nothing_listens_for_others_unprepared(tmp_path: Path) -> None:
    """It names both commands; after them it starts; half of it is not enough."""
    refused = prepare(tmp_path / "data", "server", "run", "--listen", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "cybercorp server create-certificate NAME; cybercorp server create-owner NAME" in refused.stderr
    assert prepare(tmp_path / "data", "server", "create-certificate", "a.test").returncode == 0
    refused = prepare(tmp_path / "data", "server", "run", "--listen", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "create-certificate" not in refused.stderr
    assert "create-owner" in refused.stderr


def test_tls_13_alone(server: ServerThread) -> None:
    """No older version, whoever asks; no plain HTTP."""
    address = ("127.0.0.1", server.port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address) as plain, context.wrap_socket(plain) as wrapped:
        assert wrapped.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(address) as plain, pytest.raises(OSError, match=r"(?i)alert|reset|version|eof"):
        context.wrap_socket(plain)
    with pytest.raises(UnreachableError), Client(f"http://127.0.0.1:{server.port}", token="x") as client:
        client.hosts.list()


def test_the_owner_of_this_machine_is_asked_nothing(server: ServerThread) -> None:
    """The local credential carries address, pins and authority: commands and live updates work as they did."""
    credential = owner_of(server)
    assert credential.url.startswith("https://127.0.0.1:")
    assert len(credential.pins) == 2
    with Client(credential=credential) as client:
        assert client.hosts.list() == []
        assert "monitor.test" in client.server.certificate().names
        updates = client.live("hosts")
        assert next(updates) is not None
        updates.close()


def test_agents_join_by_a_pin_and_send(server: ServerThread, tmp_path: Path) -> None:
    """The line that `enroll` prints is enough; samples go the direct way over TLS and are acknowledged."""
    with Client(credential=owner_of(server)) as client:
        made = client.agents.create_enrolment()
        assert made.pins == list(owner_of(server).pins)
        joined = join(client.url, made.token, state_dir=tmp_path / "agent", name="web-1", pins=made.pins[:1])
        assert list(joined.pins) == made.pins
        connection = AgentConnection.open(joined)
        connection.close()
        assert [host.name for host in client.hosts.list()] == ["web-1"]
        client.hosts.remove("web-1")


def list_hosts(credential: Credential) -> None:
    with Client(credential=credential) as client:
        client.hosts.list()


WAYS: dict[str, Callable[[Credential], Any]] = {
    "an agent": AgentConnection.open,
    "who asks for the authority": lambda credential: fetch_pinned(credential.url, credential.pins),
    "a command": list_hosts,
    "who joins": lambda one: join(one.url, "cce_x", state_dir=Path(mkdtemp()), pins=one.pins),
}


@pytest.mark.parametrize("way", WAYS)
def test_another_key_is_a_hard_stop(server: ServerThread, way: str) -> None:
    """A server whose authority is not pinned gets nothing, no token and no password."""
    other = make_authority("somebody else", SystemClock().now_ms())
    pins = (pin_of(other.certificate),)
    credential = msgspec.structs.replace(owner_of(server), pins=pins, authority=other.certificate)
    with pytest.raises(UntrustedServerError) as stopped:
        WAYS[way](credential)
    assert credential.token not in str(stopped.value)


def test_a_stranger_is_not_trusted_by_default(server: ServerThread) -> None:
    """Without a pin only the authorities of the system count, and the error says what to give."""
    with pytest.raises(UntrustedServerError, match="--pin"), Client(owner_of(server).url + "/", token="x") as client:
        client.hosts.list()


def serial(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", port)).encode()


def test_renewal_drops_no_connection(server: ServerThread) -> None:
    """New handshakes get the new certificate; a socket that is open goes on, and so does a kept connection."""
    before = serial(server.port)
    with Client(credential=owner_of(server)) as client:
        updates = client.live("hosts", interval_ms=100)
        next(updates)
        client.hosts.list()
        client.server.renew_certificate()
        assert serial(server.port) != before
        client.hosts.list()
        for _ in range(3):
            assert next(updates) is not None
        updates.close()


def test_a_certificate_is_renewed_in_time(prepared: Path, tmp_path: Path) -> None:
    """After two thirds of its life, by itself: here a certificate of minutes that was made in the past."""
    with ServerThread(prepared, tls=True, tls_days=0.01) as made:
        services = made.services
        within(made, services.authority.renew(LOCAL_OWNER, force=True))
        within(made, services.certificates.look_after())
        before = serial(made.port)
        within(made, services.certificates.look_after())
        assert serial(made.port) == before
        leaf = services.authority.status()
        services.authority._clock = Later(leaf.renewed_at_ms + 1)
        within(made, services.certificates.look_after())
        assert serial(made.port) != before
        services.authority._clock = SystemClock()
        within(made, services.authority.renew(LOCAL_OWNER, force=True))


class Later(SystemClock):
    """A clock that stands at one moment."""

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        return self._at_ms


def test_the_rotation_drill(server: ServerThread, tmp_path: Path) -> None:
    """The backup takes over: agents and profiles that knew both keys go on by themselves, and learn the next backup."""
    credential = owner_of(server)
    with Client(credential=credential) as client:
        token = client.agents.create_enrolment().token
        joined = join(client.url, token, state_dir=tmp_path / "agent", name="web-2", pins=credential.pins[:1])
        after = client.server.rotate_authority()
    assert after.pins[0] == credential.pins[1]
    assert after.pins[1] not in credential.pins
    from cybercorp.agent.uplink import open_connection

    open_connection(joined, 10.0).close()
    with Client(credential=msgspec.structs.replace(credential, authority=credential.authority)) as client:
        client.hosts.remove("web-2")
    with pytest.raises(UntrustedServerError):  # whoever knew the old key alone
        fetch_pinned(credential.url, credential.pins[:1])
    assert [pin_of(one) for one in split_pem(fetch_authorities(credential.url))] == after.pins


def half_renewed(authority: Any, old_key: str) -> list[tuple[str, str]]:
    """Certificate ("" for the one before) and key that do not go together, or whose key has a password."""
    fresh = issue(authority, ["127.0.0.1"], SystemClock().now_ms())
    loaded: Any = load_pem_private_key(fresh.private_key.encode(), None)
    locked = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
    return [("", "nonsense"), (fresh.certificate, old_key), (fresh.certificate, locked)]


def test_the_owner_learns_every_rotation(server: ServerThread) -> None:
    """The local credential follows while the server runs: it is never behind by two, and the old key is forgotten."""
    for _ in range(3):
        before = owner_of(server)
        with Client(credential=before) as client:
            after = client.server.rotate_authority()
        kept = owner_of(server)
        assert list(kept.pins) == after.pins
        assert [pin_of(one) for one in split_pem(kept.authority)] == after.pins
        assert kept.token == before.token
        assert (server.folder / "owner.json").stat().st_mode & 0o077 == 0
        list_hosts(kept)


def test_certificates_of_somebody_else(prepared: Path, tmp_path: Path) -> None:
    """Files are shown instead of ours, and read again when they change; a wrong one leaves the old one in use."""
    authority = make_authority("a company", SystemClock().now_ms())
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def write(pair: Any) -> None:
        certificate.write_text(pair.certificate + authority.certificate)
        key.write_text(pair.private_key)

    write(issue(authority, ["127.0.0.1"], SystemClock().now_ms()))
    with ServerThread(prepared, tls_certificate=str(certificate), tls_key=str(key)) as made:
        trusted = Credential(
            url=f"https://127.0.0.1:{made.port}",
            token=made.token,
            pins=(pin_of(authority.certificate),),
            authority=authority.certificate,
        )
        with Client(credential=trusted) as client:
            client.hosts.list()
        before = serial(made.port)
        write(issue(authority, ["127.0.0.1"], SystemClock().now_ms()))
        within(made, made.services.certificates.look_after())
        assert serial(made.port) != before
        now = serial(made.port)
        for half in half_renewed(authority, key.read_text()):  # whoever renews writes one file after the other
            certificate.write_text(half[0] or certificate.read_text())
            key.write_text(half[1])
            within(made, made.services.certificates.look_after())
            assert serial(made.port) == now
        with pytest.raises(UntrustedServerError, match="no authority of its own"):
            fetch_authorities(trusted.url)
        write(issue(authority, ["other.test"], SystemClock().now_ms()))
        within(made, made.services.certificates.look_after())
        with pytest.raises(UntrustedServerError):  # the right key under a wrong name
            list_hosts(trusted)
    key.write_text("nonsense")
    with pytest.raises(SettingsError), ServerThread(prepared, tls_certificate=str(certificate), tls_key=str(key)):
        pass


def test_a_first_contact_shows_the_key(server: ServerThread, tmp_path: Path) -> None:
    """`login` shows the key and asks, as ssh does; where nobody can be asked it stops, and says how to go on."""
    environ = {**os.environ, "CYBERCORP_CONFIG_DIR": str(tmp_path), "CYBERCORP_DATA_DIR": str(tmp_path / "none")}
    environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    credential = owner_of(server)
    command = [sys.executable, "-m", "cybercorp", "login", credential.url, "--user", "root", "--password-stdin"]

    def login(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more],
            env=environ,
            input=f"{PASSWORD}\n",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    stopped = login()
    pins = server.services.certificates.pins
    assert stopped.returncode == 3
    assert pins[0] in stopped.stderr
    done = login("--pin", pins[0])
    assert done.returncode == 0, done.stderr
    kept = find_credential(config_dir=tmp_path)
    assert list(kept.pins) == pins
    assert login().returncode == 0
    stopped = login("--pin", "sha256:" + "A" * 43)
    assert stopped.returncode == 3
    assert "Nothing was sent" in stopped.stderr
    assert urlsplit(kept.url).scheme == "https"


@pytest.mark.parametrize(
    ("names", "host", "port", "address"),
    [
        (["monitor.test", "localhost", "127.0.0.1"], "0.0.0.0", 8765, "https://monitor.test:8765"),
        (["2001:db8::1", "localhost"], "::", 443, "https://[2001:db8::1]:443"),
        (["*.test", "b.test"], "0.0.0.0", 8765, "https://b.test:8765"),
        (["localhost", "127.0.0.1", "::1"], "0.0.0.0", 8765, ""),
        (["monitor.test"], "127.0.0.1", 8765, ""),
        (["monitor.test"], "0.0.0.0", 0, ""),
    ],
)
def test_how_others_reach_it(names: list[str], host: str, port: int, address: str) -> None:
    """By a name of the certificate that is not this machine's own; nothing is made up where there is none."""
    assert address_for_others(ServerSettings(host=host, port=port), names) == address


def test_the_join_line_names_it() -> None:
    """Whoever asks over loopback gets the name that others know; whoever came by a name gets that."""
    made = Enrolment(tokens=["cce_x"], expires_at_ms=0, address="https://monitor.test:8765")
    assert address_of(made, "https://127.0.0.1:8765") == "https://monitor.test:8765"
    assert address_of(made, "https://other.test") == "https://other.test"
    assert address_of(msgspec.structs.replace(made, address=""), "http://127.0.0.1:1") == "http://127.0.0.1:1"
