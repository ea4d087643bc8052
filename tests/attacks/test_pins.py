"""Somebody between a client and its server, with an authority of their own: no document makes them believed."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from cybercorp.client.agent_connection import AgentConnection
from cybercorp.client.trust import fetch_pinned, with_authority
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import CyberCorpError, UntrustedServerError
from cybercorp.security.certificates import issue, make_authority, pin_of, split_pem
from cybercorp.security.credentials import Credential

NOW_MS = SystemClock().now_ms()
REAL = make_authority("CyberCorp authority", NOW_MS)
OTHER = make_authority("CyberCorp authority", NOW_MS)
PASSWORD = "four unrelated words"


def labelled(certificate: str, label: str) -> str:
    return certificate.replace(" CERTIFICATE", f" {label}CERTIFICATE")


DOCUMENTS = {
    "theirs alone": OTHER.certificate,
    "the real one, then theirs": REAL.certificate + OTHER.certificate,
    "theirs, then the real one": OTHER.certificate + REAL.certificate,
    "the old label, then theirs": labelled(REAL.certificate, "X509 ") + OTHER.certificate,
    "theirs with the old label": labelled(OTHER.certificate, "X509 ") + REAL.certificate,
    "theirs as a trusted one": labelled(OTHER.certificate, "TRUSTED ") + REAL.certificate,
    "theirs, unfinished": OTHER.certificate.replace("-----END CERTIFICATE-----", "") + REAL.certificate,
    "theirs within": REAL.certificate.replace("-----END", OTHER.certificate + "-----END"),
}


class Interceptor:
    """It answers every request with one document, and remembers what it was sent."""

    def __init__(self, document: str, folder: Path) -> None:
        shown = folder / "shown.pem"
        leaf = issue(OTHER, ["127.0.0.1"], NOW_MS)
        shown.write_text(leaf.private_key + leaf.certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(shown)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._document = document.encode()
        self.heard: list[bytes] = []
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self._document)}\r\nConnection: close\r\n\r\n".encode()
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            with plain, contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as wrapped:
                self.heard.append(wrapped.recv(65536))
                wrapped.sendall(head + self._document)


@pytest.fixture
def between(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Interceptor]:
    made = Interceptor(DOCUMENTS[request.param], tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("between", DOCUMENTS, indirect=True)
def test_a_pinned_client_is_not_talked_into_another_authority(between: Interceptor) -> None:
    """Whatever the document says, what is kept has the pinned key alone, and no token is sent."""
    pins = (pin_of(REAL.certificate),)
    with contextlib.suppress(UntrustedServerError):
        kept = fetch_pinned(between.url, pins)
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.load_verify_locations(cadata=kept)  # OpenSSL says which keys these are, not our reader
        found = [ssl.DER_cert_to_PEM_cert(one) for one in trusted.get_ca_certs(binary_form=True)]
        assert [pin_of(one) for one in found] == list(pins)
    with pytest.raises(CyberCorpError):
        AgentConnection.open(with_authority(Credential(url=between.url, token="cca_secret", pins=pins)))
    assert all(b"cca_secret" not in one for one in between.heard)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_reader_of_pem_and_openssl_see_the_same(document: str) -> None:
    """Each part is one certificate to both: the one whose pin was taken."""
    with contextlib.suppress(CyberCorpError):
        for part in split_pem(DOCUMENTS[document]):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=part)
            (only,) = context.get_ca_certs(binary_form=True)
            assert pin_of(ssl.DER_cert_to_PEM_cert(only)) == pin_of(part)


@pytest.mark.parametrize("between", ["the real one, then theirs", "the old label, then theirs"], indirect=True)
def test_a_first_contact_keeps_what_was_shown_and_nothing_beside_it(between: Interceptor, tmp_path: Path) -> None:
    """The person compares the real key and says yes; the one who sits between gets no password for it."""
    environ = {
        **os.environ,
        "CYBERCORP_CONFIG_DIR": str(tmp_path / "config"),
        "CYBERCORP_DATA_DIR": str(tmp_path / "none"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    command = ["-m", "cybercorp", "login", between.url, "--user", "root"]
    child = pexpect.spawn(sys.executable, command, env=environ, encoding="utf-8", timeout=20, dimensions=(40, 200))
    try:
        child.expect_exact(pin_of(REAL.certificate))
        child.expect_exact("Is it the same?")
        child.sendline("y")
        if child.expect_exact(["Password", pexpect.EOF]) == 0:
            child.sendline(PASSWORD)
            child.expect(pexpect.EOF)
        assert "not made by the known authority" in str(child.before) or "is not the one" in str(child.before)
    finally:
        child.close(force=True)
    assert all(PASSWORD.encode() not in one for one in between.heard)
    assert child.exitstatus == 3
