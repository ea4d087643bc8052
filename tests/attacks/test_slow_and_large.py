"""Whoever is slow, silent or large: closed by a limit with the right answer, while everybody else is served (F19)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cybercorp.server import http_protocol, waiting
from tests.integration.serving import ServerThread

REAL = (
    waiting.HEAD_S,
    http_protocol.BODY_S,
    http_protocol.MAX_HEAD_BYTES,
    http_protocol.MAX_HEADERS,
    waiting.MAX_WAITING,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """Its deadlines are short, so that a test need not wait for the real ones."""
    folder: Path = tmp_path_factory.mktemp("slow") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "HEAD_S", 0.4)
        patch.setattr(http_protocol, "BODY_S", 0.4)
        patch.setattr(waiting, "MAX_WAITING", 300)
        with ServerThread(folder, trusted_proxies=["127.0.0.1"]) as made:
            yield made


def opened(server: ServerThread, *parts: bytes) -> socket.socket:
    """A connection on which so much was sent."""
    made = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    for part in parts:
        made.sendall(part)
    return made


def heard(connection: socket.socket) -> bytes:
    """All that the server says until it closes."""
    found = b""
    with connection:
        try:
            while data := connection.recv(65536):
                found += data
        except ConnectionResetError:
            return found
    return found


HEAD = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def test_the_real_deadlines() -> None:
    """Ten seconds for a head, ten for a body; a head of 32 KiB with a hundred fields; two thousand that wait."""
    assert REAL == (10, 10, 32768, 100, 2048)


@pytest.mark.parametrize(
    "said",
    [b"", b"G", HEAD, HEAD + b"X: ", b"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{"],
    ids=["nothing", "a byte", "half a head", "half a field", "half a body"],
)
def test_who_does_not_finish_is_closed(server: ServerThread, said: bytes) -> None:
    """With 408, soon after the deadline."""
    began = time.monotonic()
    answer = heard(opened(server, said))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert time.monotonic() - began < 5


def test_who_drips_is_closed(server: ServerThread) -> None:
    """A byte now and then does not move the deadline."""
    connection = opened(server, HEAD)
    connection.settimeout(0.05)
    began, answer = time.monotonic(), b""
    while time.monotonic() - began < 5:
        try:
            connection.sendall(b"a")
            answer = connection.recv(1000)
            break
        except TimeoutError:
            continue
        except OSError:
            break
    assert time.monotonic() - began < 3
    assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""
    connection.close()


def test_who_goes_away_in_the_middle_writes_no_log(server: ServerThread, caplog: pytest.LogCaptureFixture) -> None:
    """A body of which the rest never comes is nobody's error: else anybody could fill the log."""
    head = HEAD.replace(b"GET /health/live", b"POST /api/v1/login")
    connection = opened(server, head + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
    with caplog.at_level("WARNING"):
        connection.close()
        assert heard(opened(server, HEAD)).startswith(b"HTTP/1.1 408 ")  # it came later, and has been seen to
    assert caplog.messages == []


def test_a_kept_connection_has_its_deadline_too(server: ServerThread) -> None:
    """The second request of a connection may not take longer than the first."""
    connection = opened(server, HEAD + b"\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET /hea")
    assert b" 408 " in heard(connection)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"a" * 100_000,
        HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(150)),
        HEAD + b"".join(b"X: a\r\n" for _ in range(100_000)),
        b"GET /" + b"a" * 200_000,
    ],
    ids=["a long field", "150 fields", "100,000 fields", "a long address"],
)
def test_a_head_that_is_too_large(server: ServerThread, head: bytes) -> None:
    """431, or the parser's own refusal; it is closed without reading on."""
    connection = opened(server)
    try:
        connection.sendall(head)
    except OSError:
        connection.close()
        return  # closed while it was still being sent
    assert heard(connection)[:13] in (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"HTTP/1.1 408 ", b"")


def test_a_thousand_silent_ones_hold_up_nobody(server: ServerThread) -> None:
    """Others are answered meanwhile; of the silent ones no more are kept than the limit says."""
    silent = [opened(server) for _ in range(1000)]
    try:
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert httpx.get(f"{server.url}/health/live", trust_env=False, timeout=10).status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2
    finally:
        for one in silent:
            one.close()
    assert httpx.get(f"{server.url}/health/live", trust_env=False, timeout=10).status_code == 200


def test_limits_follow_the_network_that_a_trusted_proxy_names(server: ServerThread) -> None:
    """Anonymous requests are counted by network; a made-up chain before the proxy's own word changes nothing."""

    def ask(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return client.get("/.well-known/cybercorp/authority.pem", headers=headers).status_code

    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        answers: list[int] = []
        while len(answers) < 3000 and answers[-1:] != [429]:
            answers.append(ask(f"10.9.8.{len(answers) % 250}, 203.0.113.9"))
        assert answers[-1] == 429
        assert len(answers) > 600  # so many at once, and what refills meanwhile
        assert ask("203.0.113.10") == 404


def test_the_owner_is_not_believed_from_behind_a_proxy(server: ServerThread) -> None:
    """The local owner's token is worth nothing where a trusted proxy says that it comes from elsewhere."""
    refused = server.http.get("/api/v1/hosts", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (refused.status_code, refused.json()["code"]) == (403, "local_only")
