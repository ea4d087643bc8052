"""DNS rebinding, spoofed hosts and foreign pages: every spelling of a name and an origin, over HTTP and WebSockets."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from cybercorp.protocol.servers import SUBPROTOCOL_JSON
from tests.integration.serving import ServerThread

OURS = ("localhost", "localhost:{port}", "LocalHost:{port}", "127.0.0.1", "127.0.0.1:{port}", "[::1]:{port}")
FOREIGN = (
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "127.0.0.1.evil.example:{port}",
    "evil-localhost",
    "localhost.",
    "localhost.:{port}",
    "127.0.0.1.:{port}",
    "127.1:{port}",
    "0x7f000001:{port}",
    "2130706433:{port}",
    "0177.0.0.1:{port}",
    "0.0.0.0:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "127.0.0.2:{port}",
    "localhost@evil.example",
    "evil.example#localhost",
    "evil.example?localhost",
    "localhost, evil.example",
    "",
    "*",
    "null",
)
# What a browser sends as the origin of a page, with the host `localhost:{port}`.
OWN_ORIGINS = (None, "http://localhost:{port}")
FOREIGN_ORIGINS = (
    "null",
    "",
    "http://evil.example",
    "https://evil.example:{port}",
    "http://sub.localhost:{port}",
    "http://localhost.evil.example:{port}",
    "http://localhost",
    "http://localhost:1",
    "http://localhost.:{port}",
    "http://127.0.0.1:{port}",
    "http://ada@localhost:{port}",
    "http://localhost:{port}@evil.example",
    "http://localhost:{port}, http://evil.example",
    "http://evil.example http://localhost:{port}",
    "file://",
    "chrome-extension://localhost",
    "//evil.example",
    "localhost:{port}",
    "http://[",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("names")) as running:
        yield running


def by_http(server: ServerThread, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """Status and code of an answer."""
    sent = [("Authorization", f"Bearer {server.token}"), *headers]
    answer = httpx.get(f"{server.url}/api/v1/hosts", headers=sent, trust_env=False)
    return answer.status_code, "" if answer.status_code == 200 else answer.json().get("code", "")


def by_socket(server: ServerThread, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """The same of a handshake, in our own letters: libraries add a host of their own. An open socket is 200."""
    sent = [
        ("Authorization", f"Bearer {server.token}"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(bytes(16)).decode()),
        ("Sec-WebSocket-Protocol", SUBPROTOCOL_JSON),
        *headers,
    ]
    answer = raw(server, "/api/v1/live", sent)
    status = int(answer.split(b" ")[1])
    return (200, "") if status == 101 else (status, code_of(answer))


def raw(server: ServerThread, path: str, headers: list[tuple[str, str]]) -> bytes:
    """The head of an answer to exactly these headers, and as much of its body as came along."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = connection.recv(65_536)
        while b"\r\n\r\n" not in answer or (not answer.startswith(b"HTTP/1.1 101") and b"}" not in answer):
            more = connection.recv(65_536)
            if not more:
                break
            answer += more
    return answer


def code_of(answer: bytes) -> str:
    """What a problem calls itself."""
    found = re.search(rb'"code":"(\w+)"', answer)
    return found[1].decode() if found else ""


def filled(server: ServerThread, text: str) -> str:
    return text.replace("{port}", str(server.port))


@pytest.mark.parametrize("name", OURS)
def test_our_names(server: ServerThread, name: str) -> None:
    """Loopback's names with any port and in any case."""
    headers = [("Host", filled(server, name))]
    assert by_http(server, headers)[0] == by_socket(server, headers)[0] == 200


@pytest.mark.parametrize("name", [*FOREIGN[:6], *(pytest.param(one, marks=pytest.mark.slow) for one in FOREIGN[6:])])
def test_foreign_names(server: ServerThread, name: str) -> None:
    """Also numbers that only mean the same, names with a dot behind them, and names with ours in them."""
    headers = [("Host", filled(server, name))]
    assert by_http(server, headers) in ((403, "host_not_allowed"), (400, ""))
    assert by_socket(server, headers) in ((403, "host_not_allowed"), (400, ""))


def test_two_names(server: ServerThread) -> None:
    """A request with two hosts is not served, whichever comes first (RFC 9112, 3.2)."""
    for names in (("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost"), ()):
        headers = [("Host", one) for one in names]
        assert raw(server, "/api/v1/hosts", headers).split(b" ")[1] in (b"400", b"403"), names
        assert by_socket(server, headers)[0] in (400, 403), names


@pytest.mark.parametrize("origin", OWN_ORIGINS)
def test_our_pages(server: ServerThread, origin: str | None) -> None:
    """And whoever is no browser."""
    headers = [("Host", f"localhost:{server.port}")]
    headers += [("Origin", filled(server, origin))] if origin is not None else []
    assert by_http(server, headers)[0] == by_socket(server, headers)[0] == 200


@pytest.mark.parametrize(
    "origin", [*FOREIGN_ORIGINS[:6], *(pytest.param(one, marks=pytest.mark.slow) for one in FOREIGN_ORIGINS[6:])]
)
def test_foreign_pages(server: ServerThread, origin: str) -> None:
    """Refused with a good token, too: it may be one that the page was given by a browser."""
    headers = [("Host", f"localhost:{server.port}"), ("Origin", filled(server, origin))]
    assert by_http(server, headers) == (403, "origin_not_allowed")
    assert by_socket(server, headers) == (403, "origin_not_allowed")


def test_two_origins(server: ServerThread) -> None:
    """The second one counts as well."""
    own, evil = ("Origin", f"http://localhost:{server.port}"), ("Origin", "http://evil.example")
    for pair in ((own, evil), (evil, own)):
        assert by_http(server, [("Host", f"localhost:{server.port}"), *pair])[0] in (400, 403)
        assert by_socket(server, [("Host", f"localhost:{server.port}"), *pair])[0] in (400, 403)


def test_forwarded_names_count_for_nothing(server: ServerThread) -> None:
    """Neither do they open nor do they close."""
    for header in ("X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host", "X-HTTP-Host-Override"):
        good, bad = f"localhost:{server.port}", "evil.example"
        # with what a proxy adds nobody is on this machine, where alone the owner's token is good: past the gate
        assert by_http(server, [("Host", good), (header, bad)]) in ((200, ""), (403, "local_only"))
        assert by_http(server, [("Host", bad), (header, good)]) == (403, "host_not_allowed")
