"""Requests and answers over a real socket."""

import contextlib
import socket
import threading

import msgspec
import pytest

from cybercorp import AsyncClient, Client
from cybercorp.client import http
from cybercorp.client.calls import MSGPACK_MEDIA_TYPE
from cybercorp.core.errors import (
    ConflictError,
    CyberCorpError,
    LimitExceededError,
    MalformedMessageError,
    NotFoundError,
    StorageError,
    StorageFullError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)
from cybercorp.protocol.hosts import Host, HostState
from tests.fakes.http import Answer, Asked, FakeHttp, problem

HOST = Host(id="host_1", name="web-1", state=HostState.ONLINE, joined_at_ms=1)


def test_a_question_carries_token_protocol_and_format() -> None:
    """Every request shows the bearer token, the protocol it speaks, and asks for MessagePack."""
    with FakeHttp(lambda asked: Answer([HOST])) as server, Client(server.url, token="cco_x") as client:
        assert client.hosts.list() == [HOST]
    headers = server.asked[0].headers
    assert headers["authorization"] == "Bearer cco_x"
    assert headers["cybercorp-protocol"] == "1"
    assert MSGPACK_MEDIA_TYPE in headers["accept"]


async def test_the_awaited_client_asks_the_same() -> None:
    """Both façades send the same request."""
    with FakeHttp(lambda asked: Answer([HOST])) as server:
        async with AsyncClient(server.url, token="t") as client:
            assert await client.hosts.list("web-*", labels={"env": "prod"}) == [HOST]
        with Client(server.url, token="t") as blocking:
            blocking.hosts.list("web-*", labels={"env": "prod"})
    assert server.asked[0].query == server.asked[1].query
    assert ("selector", "web-* env=prod") in server.asked[0].query


async def test_a_blocking_call_works_inside_a_running_loop() -> None:
    """A notebook has a loop already; the blocking client needs none."""
    with FakeHttp(lambda asked: Answer([HOST])) as server, Client(server.url, token="t") as client:
        assert client.hosts.list()[0].name == "web-1"


def test_json_is_understood_too() -> None:
    """A proxy or an older server may answer in JSON."""
    answer = Answer(body=msgspec.json.encode([HOST]), media_type="application/json; charset=utf-8")
    with FakeHttp(lambda asked: answer) as server, Client(server.url, token="t") as client:
        assert client.hosts.list() == [HOST]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "host_not_found", NotFoundError),
        (409, "host_name_taken", ConflictError),
        (401, "unauthenticated", UnauthenticatedError),
        (507, "storage_full", StorageFullError),
        (503, "something_new", StorageError),
        (418, "teapot", CyberCorpError),
    ],
)
def test_a_problem_raises_what_the_service_raised(status: int, code: str, expected: type[CyberCorpError]) -> None:
    """Class, code, message and hint come over."""
    with (
        FakeHttp(lambda asked: problem(status, code, "No such thing.", "Try another.")) as server,
        Client(server.url, token="t") as client,
        pytest.raises(expected) as caught,
    ):
        client.hosts.get("x")
    assert type(caught.value) is expected
    assert (caught.value.error_code, caught.value.message, caught.value.hint) == (
        code,
        "No such thing.",
        "Try another.",
    )


def test_another_protocol_version_is_said() -> None:
    """The message names both versions."""
    with (
        FakeHttp(lambda asked: Answer([], protocol="9")) as server,
        Client(server.url, token="t") as client,
        pytest.raises(VersionMismatchError, match=r"protocol 9.*speaks 1"),
    ):
        client.hosts.list()


def test_something_else_on_that_port_is_said() -> None:
    """A web server that is not ours is not mistaken for one."""
    html = Answer(body=b"<html>", media_type="text/html", protocol=None)
    with (
        FakeHttp(lambda asked: html) as server,
        Client(server.url, token="t") as client,
        pytest.raises(VersionMismatchError) as caught,
    ):
        client.hosts.list()
    assert caught.value.error_code == "not_cybercorp"


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode({"id": 3}), b"[" * 100])
def test_an_answer_that_is_no_answer_is_named(body: bytes) -> None:
    """Broken bytes end in an error of ours, not in one of a library."""
    with (
        FakeHttp(lambda asked: Answer(body=body)) as server,
        Client(server.url, token="t") as client,
        pytest.raises(MalformedMessageError),
    ):
        client.hosts.get("x")


def test_an_error_without_a_reason_is_still_an_error() -> None:
    """A 500 whose body is no problem is reported as such."""
    answer = Answer(body=b"oops", status=500, media_type="text/plain")
    with (
        FakeHttp(lambda asked: answer) as server,
        Client(server.url, token="t") as client,
        pytest.raises(MalformedMessageError, match="500"),
    ):
        client.hosts.list()


def test_nobody_there_is_unreachable_with_what_to_start() -> None:
    """A closed port gives one clear line."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", token="t") as client, pytest.raises(UnreachableError) as caught:
        client.hosts.list()
    assert "Start it with: cybercorp up" in caught.value.hint


def test_a_closed_client_says_so() -> None:
    """An error of ours, which a dashboard that ends does not stumble over."""
    client = Client("http://127.0.0.1:9", token="t")
    client.close()
    with pytest.raises(UnreachableError) as caught:
        client.hosts.list()
    assert caught.value.error_code == "client_closed"


def test_a_silent_server_is_given_up_on() -> None:
    """A port that accepts and never answers costs the timeout, not for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, token="t", timeout_s=0.1) as client, pytest.raises(UnreachableError) as caught:
            client.hosts.list()
    assert caught.value.error_code == "timeout"


def test_a_question_is_asked_again_once_when_the_connection_was_cut() -> None:
    """A kept-alive connection that the server closed is no failure; an order is never given twice."""
    told = iter([Answer(hang_up=True), Answer([HOST]), Answer(hang_up=True)])

    def answer(asked: Asked) -> Answer:
        return next(told)

    with FakeHttp(answer) as server, Client(server.url, token="t") as client:
        assert client.hosts.list() == [HOST]
        with pytest.raises(UnreachableError):
            client.agents.create_enrolment()
    assert [one.method for one in server.asked] == ["GET", "GET", "POST"]


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends more than a client can bear gets a clear error, whichever façade asks."""
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1_000_000)
    with FakeHttp(lambda asked: Answer(body=b"x" * 3_000_000)) as server:
        with Client(server.url, token="t") as client, pytest.raises(LimitExceededError, match="Ask for fewer"):
            client.hosts.list()
        async with AsyncClient(server.url, token="t") as awaited:
            with pytest.raises(LimitExceededError, match="Ask for fewer"):
                await awaited.hosts.list()


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, and never the last: the whole answer has a deadline too."""
    monkeypatch.setattr(http, "LONGEST_ANSWER_S", 0.3)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, contextlib.suppress(OSError):
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nCyberCorp-Protocol: 1\r\nContent-Length: 1000000\r\n\r\n")
            while not over.wait(0.05):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with Client(url, token="t") as client, pytest.raises(UnreachableError, match="not complete"):
                client.hosts.list()
        finally:
            over.set()
            dripping.join(10)
