"""Every wrong request is answered with a problem (RFC 9457) that has a stable code and says what to do."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from cybercorp.protocol.agents import Acknowledge
from cybercorp.protocol.hosts import Host
from tests.integration.serving import ServerThread, now_ms, problem
from tests.stack import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """One server with one host `web-1` that has a few samples, one of them NaN and one infinite."""
    with ServerThread(tmp_path_factory.mktemp("data")) as running:
        agent = running.agent("web-1")
        agent.announce()
        last = agent.samples(0.25, 0.5, 0.25, float("nan"), float("inf"))
        assert agent.expect(Acknowledge).seq <= last
        wait_until(lambda: running.get("/api/v1/server")["storage"]["samples_total"] == 30, "five rows")
        yield running
        agent.close()


def check(server: ServerThread, method: str, path: str, status: int, code: str, said: str = "", **options: Any) -> None:
    """The request is answered with this problem."""
    answer = server.http.request(method, path, **options)
    found = problem(answer)
    assert (found.status, found.code) == (status, code), answer.text
    assert found.hint
    assert said in f"{found.detail} {found.hint}", answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "said"),
    [
        ("GET", "/nowhere", 404, "route_not_found", "/api/docs"),
        ("GET", "/api/v1/hosts/web-1/nothing", 404, "route_not_found", "/api/docs"),
        ("GET", "/schema/swagger", 404, "route_not_found", "/api/docs"),
        ("PUT", "/api/v1/hosts", 405, "method_not_allowed", "method"),
        ("GET", "/api/v1/hosts/wep-1", 404, "host_not_found", "'web-1'"),
        ("DELETE", "/api/v1/hosts/nobody", 404, "host_not_found", "cybercorp hosts"),
        ("GET", "/api/v1/hosts?selector=wep-1", 404, "host_not_found", "'web-1'"),
        ("GET", "/api/v1/hosts?selectr=web-1", 400, "invalid_input", "'selector'"),
        ("GET", "/api/v1/hosts/web-1/latest?at=1", 400, "invalid_input", "'at_ms'"),
        ("GET", "/api/v1/server?x=1", 400, "invalid_input", "none"),
        ("GET", "/api/v1/hosts?limit=-1", 400, "invalid_input", "limit"),
        ("GET", "/api/v1/hosts?limit=many", 400, "invalid_input", "limit"),
        ("GET", "/api/v1/hosts?sort=beauty", 400, "invalid_input", "sort"),
        ("GET", "/api/v1/hosts?selector=a%3D%3Db", 400, "invalid_input", "selector"),
        ("GET", "/api/v1/fleet?limit=1001", 400, "invalid_input", "limit"),
        ("GET", "/api/v1/fleet?selector=disc%3E5", 400, "invalid_input", "compared"),
        ("GET", "/api/v1/hosts/web-1/latest?at_ms=1", 404, "no_samples", "that time"),
        ("GET", "/api/v1/hosts/web-1/processes?at_ms=1", 404, "no_processes", "recorded"),
        ("GET", "/api/v1/metrics/query?metric=cpuu&start_ms=1", 404, "metric_not_found", "'cpu'"),
        ("GET", "/api/v1/metrics/query?metric=system.cpu.utilisation&start_ms=1", 404, "metric_not_found", "utiliz"),
        ("GET", "/api/v1/metrics/query?metric=cores&start_ms=1", 404, "metric_not_found", "attributes"),
        ("GET", "/api/v1/metrics/query?metric=%7B%7D&start_ms=1", 400, "invalid_input", "metric"),
        ("GET", "/api/v1/metrics/query?metric=cpu%7Bx%3D1%7D&start_ms=1", 400, "invalid_input", "x=1"),
        ("GET", "/api/v1/metrics/query?start_ms=1", 400, "invalid_input", "metric"),
        ("GET", "/api/v1/metrics/query?metric=cpu", 400, "invalid_input", "start_ms"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=9&end_ms=9", 400, "invalid_time", "before"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=-5&end_ms=9", 400, "invalid_time", "range"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=1&step_ms=0", 400, "invalid_input", "step_ms"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=1&quantile=1.5", 400, "invalid_input", "quantile"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=1&quantile=nan", 400, "invalid_input", "quantile"),
        ("GET", "/api/v1/metrics/query?metric=cpu&start_ms=1&step_ms=1000", 400, "too_many_points", "--step"),
        ("GET", "/api/v1/events?limit=1001", 400, "invalid_input", "limit"),
        ("GET", "/api/v1/events?after=-1", 400, "invalid_input", "after"),
        ("GET", "/api/v1/events?after=99999999999999999999999", 400, "invalid_input", "after"),
    ],
)
def test_wrong_requests(server: ServerThread, method: str, path: str, status: int, code: str, said: str) -> None:
    """A stable code, and words that help."""
    check(server, method, path, status, code, said)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "said"),
    [
        ("POST", "/api/v1/agents/enrolments", b"{", "invalid_input", ""),
        ("POST", "/api/v1/agents/enrolments", b"[]", "invalid_input", ""),
        ("POST", "/api/v1/agents/enrolments", b"\xff\xfe", "invalid_input", ""),
        ("POST", "/api/v1/agents/enrolments", b'{"count": "many"}', "invalid_input", "count"),
        ("POST", "/api/v1/agents/enrolments", b'{"count": 0}', "invalid_input", "one host"),
        ("POST", "/api/v1/agents/enrolments", b'{"expires_in_s": 3601}', "invalid_input", "an hour"),
        ("POST", "/api/v1/agents/enrolments", b'{"labels": {"a=b": "c"}}', "invalid_input", "label"),
        ("POST", "/api/v1/agents/enrolments", b'{"count": 9999999999999999999999999}', "invalid_input", ""),
        ("POST", "/api/v1/agents/enrolments", b'{"labels": ' + b'{"a":' * 5000, "invalid_input", ""),
        ("PATCH", "/api/v1/hosts/web-1", b'{"labels": {"": "x"}}', "invalid_input", "label"),
        ("PATCH", "/api/v1/hosts/web-1", b'{"labels": {"a": "\\u202e"}}', "invalid_input", "label"),
        ("PATCH", "/api/v1/hosts/web-1", b'{"labels": {"a": "\\ud800"}}', "invalid_input", ""),
        ("PATCH", "/api/v1/hosts/web-1", b'{"name": "a b"}', "invalid_input", "name"),
        ("PATCH", "/api/v1/hosts/web-1", b'{"name": "\\u001b[31m"}', "invalid_input", "name"),
        ("PATCH", "/api/v1/hosts/web-1", b"null", "invalid_input", ""),
    ],
)
def test_wrong_bodies(server: ServerThread, method: str, path: str, body: bytes, code: str, said: str) -> None:
    """What is no JSON, or JSON of the wrong shape, is 400 and changes nothing."""
    check(server, method, path, 400, code, said, content=body, headers={"Content-Type": "application/json"})
    assert server.get("/api/v1/hosts/web-1")["labels"] == {}


def test_too_large_bodies(server: ServerThread) -> None:
    """More than 256 KiB is 413, with its length told before or not; just below it is read."""
    path, headers = "/api/v1/agents/enrolments", {"Content-Type": "application/json"}
    large = b'{"count": 1' + b" " * (256 * 1024) + b"}"
    check(server, "POST", path, 413, "limit_exceeded", content=large, headers=headers)
    check(
        server, "POST", path, 413, "limit_exceeded", content=iter([large[:100_000], large[100_000:]]), headers=headers
    )
    fitting = large.replace(b" " * 100, b"", 1)
    assert server.http.post(path, content=fitting, headers=headers).status_code == 201


def test_a_start_in_the_future(server: ServerThread) -> None:
    """Nothing is stored there yet, and the answer says so."""
    for offset_ms in (60_000, 10**12):
        asked = {"metric": "cpu", "start_ms": now_ms() + offset_ms, "end_ms": now_ms() + offset_ms + 1000}
        check(server, "GET", "/api/v1/metrics/query", 400, "invalid_time", "future", params=asked)


def test_the_step_that_would_do(server: ServerThread) -> None:
    """Too many points: the hint names a step, and with that step the query is answered."""
    end_ms = now_ms()
    asked: dict[str, Any] = {"metric": "cpu", "start_ms": end_ms - 10 * 86_400_000, "end_ms": end_ms, "step_ms": 10_000}
    found = problem(server.http.get("/api/v1/metrics/query", params=asked))
    assert found.code == "too_many_points"
    assert "--step 2m" in found.hint
    answer = server.get("/api/v1/metrics/query", **{**asked, "step_ms": 120_000})
    assert answer["points"] <= 11_000


def test_values_that_are_no_numbers_are_null(server: ServerThread) -> None:
    """NaN and infinity are null in JSON, and spoil no average."""
    latest = server.http.get("/api/v1/hosts/web-1/latest").text
    assert "NaN" not in latest
    assert "Infinity" not in latest
    by_name = {one["name"]: one["value"] for one in json.loads(latest)["values"]}
    assert by_name["system.cpu.utilization"] is None
    assert by_name["system.memory.utilization"] == 0.5
    answer = server.get("/api/v1/metrics/query", metric="cpu", start_ms=now_ms() - 600_000, step_ms=3_600_000)
    known = [value for value in answer["series"][0]["values"] if value is not None]
    assert known
    assert all(value == pytest.approx(1 / 3) for value in known)


def test_too_many_values(server: ServerThread) -> None:
    """The limit of two million values holds for the whole answer, not for each of its metrics."""
    wide = ["system.*", *(f"system.*{'*' * i}" for i in range(1, 20))]
    asked: dict[str, Any] = {
        "metric": wide,
        "start_ms": now_ms() - 86_400_000 * 100,
        "points": 11_000,
        "step_ms": 800_000,
    }
    answer = server.http.get("/api/v1/metrics/query", params=asked)
    assert answer.status_code == 200
    values = sum(len(one["values"]) for one in answer.json()["series"])
    assert values <= 2_000_000


def test_answers_in_messagepack(server: ServerThread) -> None:
    """The same answer for those who ask for MessagePack; problems stay JSON."""
    headers = {"Accept": "application/x-msgpack"}
    answer = server.http.get("/api/v1/hosts/web-1", headers=headers)
    assert answer.headers["content-type"] == "application/x-msgpack"
    assert msgspec.msgpack.decode(answer.content, type=Host).name == "web-1"
    assert problem(server.http.get("/api/v1/hosts/nobody", headers=headers)).code == "host_not_found"


def test_a_bug_tells_nothing(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw is 500 with a problem that leaks neither its text nor its class."""

    async def broken() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(server.services.servers, "info", broken)
    answer = server.http.get("/api/v1/server")
    assert (answer.status_code, problem(answer).code) == (500, "internal")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


def test_wrong_http_is_survived(server: ServerThread) -> None:
    """Bytes that are no HTTP, and a header of a megabyte, end one connection and no more."""
    import socket

    for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 1_000_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            try:
                while raw.recv(65536):
                    pass
            except ConnectionError:
                pass
    assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
