"""Before TLS stands: who is silent, slow, or speaks something else costs a place in a row, and not for long."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.server import waiting
from tests.faults.half_open import client_hello
from tests.integration.serving import ServerThread
from tests.integration.test_tls import prepare

HEAD_S = 0.6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """Its deadline is short, and its rows are."""
    folder: Path = tmp_path_factory.mktemp("half-open") / "data"
    assert prepare(folder, "server", "create-certificate", "localhost").returncode == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "HEAD_S", HEAD_S)
        patch.setattr(waiting, "MAX_WAITING", 40)
        patch.setattr(waiting, "MAX_SECURED", 20)
        patch.setattr(waiting, "ANSWERED_S", 0.0)
        with ServerThread(folder, tls=True) as made:
            yield made


def test_the_real_limits() -> None:
    """Ten seconds from the connection to the end of the request's head; so many that wait, and with TLS so many."""
    assert (waiting.HEAD_S, waiting.MAX_WAITING, waiting.MAX_SECURED, waiting.ANSWERED_S) == (10, 2048, 768, 1)


def begun(server: ServerThread, said: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    made.sendall(said)
    return made


def closed_after(one: socket.socket) -> float:
    """Seconds until the server closes."""
    began = time.monotonic()
    with one:
        try:
            while one.recv(65536):
                pass
        except ConnectionResetError:
            pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "said",
    [b"", client_hello()[:1], client_hello()[:100], client_hello()],
    ids=["nothing", "a byte", "half a hello", "a hello"],
)
def test_who_does_not_finish_is_closed(server: ServerThread, said: bytes) -> None:
    """Soon after the deadline, wherever they stop."""
    assert HEAD_S - 0.1 < closed_after(begun(server, said)) < 5


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x02\x00\x00\x05", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff", b"\x80\x2e"],
    ids=["HTTP", "SSL 2 in a record", "an empty record", "a record that is too long", "SSL 2"],
)
def test_what_is_no_tls_is_closed_at_once(server: ServerThread, said: bytes) -> None:
    """It never reaches OpenSSL."""
    assert closed_after(begun(server, said)) < HEAD_S - 0.1


def test_a_hello_that_is_none(server: ServerThread) -> None:
    """OpenSSL refuses it, and others are answered."""
    assert closed_after(begun(server, b"\x16\x03\x01\x00\x08" + b"\xff" * 8)) < HEAD_S - 0.1
    assert server.http.get("/health/live").status_code == 200


def shaken(server: ServerThread, piece: int) -> tuple[ssl.SSLObject, ssl.MemoryBIO, socket.socket]:
    """A handshake whose every byte goes out in pieces of this size, and what is wrapped."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    wrapped = context.wrap_bio(incoming, outgoing)
    plain = begun(server)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        try:
            wrapped.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = outgoing.read()
            for at in range(0, len(data), piece):
                plain.sendall(data[at : at + piece])
            incoming.write(plain.recv(65536))
    return wrapped, outgoing, plain


@pytest.mark.parametrize("piece", [1, 4, 5, 6, 100, 100_000])
def test_a_handshake_in_pieces(server: ServerThread, piece: int) -> None:
    """However it is cut, it succeeds, and a request that comes with its last message is answered."""
    wrapped, outgoing, plain = shaken(server, piece)
    wrapped.write(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    with plain:
        plain.sendall(outgoing.read())  # with it goes the client's Finished
        assert plain.recv(65536)
    assert wrapped.version() == "TLSv1.3"


def test_one_deadline_for_tls_and_head(server: ServerThread) -> None:
    """A handshake made does not begin it anew."""
    began = time.monotonic()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with begun(server) as one:
        one.settimeout(HEAD_S / 2)
        with pytest.raises(TimeoutError):  # half of the time passes before TLS begins
            one.recv(1)
        one.settimeout(10)
        with context.wrap_socket(one) as secured:
            assert secured.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < HEAD_S + 0.4


@pytest.mark.parametrize(("said", "most"), [(b"", 40), (client_hello(), 20)], ids=["silent", "with TLS begun"])
def test_the_oldest_goes(server: ServerThread, said: bytes, most: int) -> None:
    """No more wait than the limit says; a newcomer is let in, and who came first goes."""
    held = [begun(server, said) for _ in range(most + 1)]
    try:
        assert closed_after(held[0]) < HEAD_S - 0.1
        assert server.http.get("/health/live").status_code == 200
    finally:
        for one in held:
            one.close()
