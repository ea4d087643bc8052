"""Every change by REST is in the audit trail: declared by its handler or told by its service, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar, post

from cybercorp.client.synchronous import Client
from cybercorp.core.errors import InternalError
from cybercorp.protocol.audit import AuditRecord
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.problems import Problem
from cybercorp.server.app import make_app
from cybercorp.server.audit_trail import check_audit
from tests.integration.serving import Peer, ServerThread
from tests.stack import wait_until

SAFE = {"GET", "HEAD", "OPTIONS"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("coverage"), password_memory_kib=64) as running:
        yield running


def changing(app: Litestar) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and options of every handler that may change something."""
    found = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            methods = set(getattr(handler, "http_methods", SAFE)) - SAFE
            found += [(method, route.path, handler.opt) for method in methods]
    return sorted(found, key=lambda one: one[:2])


def test_a_handler_that_says_nothing_does_not_start() -> None:
    """A change without `audit` fails the start of the server, and so the build."""

    @post("/planted", opt={"permission": Permission.HOSTS_EDIT})
    async def planted() -> None:
        pass

    with pytest.raises(InternalError, match="/planted"):
        check_audit(Litestar([planted], openapi_config=None))


def test_refused_changes_are_written(server: ServerThread) -> None:
    """Each changing route, asked by nobody, leaves the record of a refusal."""
    app: Litestar = make_app(server.services)._app._app  # type: ignore[attr-defined]
    routes = changing(app)
    assert len(routes) >= 10
    with Client(server.url, token=server.token) as client:
        before = last(client)
        with httpx.Client(base_url=server.url) as http:
            for method, path, _ in routes:
                http.request(method, filled(path), json={})
        told = {one.target for one in since(client, before) if one.operation == "request.refuse"}
    guarded = {
        f"{method} {path.replace(':str', '')}"
        for method, path, opt in routes
        if isinstance(opt["permission"], Permission)
    }
    assert guarded <= told


def filled(path: str) -> str:
    """A path with something in each place."""
    return "/".join("nothing" if part.startswith("{") else part for part in path.split("/"))


def last(client: Client) -> int:
    page = client.audit.list(newest=True, limit=1)
    return page.records[-1].id if page.records else 0


def since(client: Client, after: int) -> list[AuditRecord]:
    """What was written after this record, but for the numbers of what was refused more than once in a minute."""
    return [one for one in client.audit.list(after=after, limit=1000).records if "times" not in one.detail]


def test_a_failed_log_in_is_told(server: ServerThread) -> None:
    """With the name that somebody gave and where they came from, and without the password."""
    with Client(server.url, token=server.token) as client:
        before = last(client)
        answer = httpx.post(f"{server.url}/api/v1/login", json={"name": "mallory", "password": "a wrong password"})
        assert answer.status_code == 401
        found = since(client, before)
        assert [one.operation for one in found] == ["login.password"]
        assert "mallory" in (found[0].actor, found[0].target)
        assert found[0].network == "127.0.0.1"
        assert "a wrong password" not in str(found)


def test_a_recording_that_is_taken_is_told(server: ServerThread) -> None:
    """Whoever carries history away is written down, although nothing changes."""
    with Client(server.url, token=server.token) as client:
        before = last(client)
        answer = server.http.get("/api/v1/recordings", params={"since_ms": 0, "until_ms": 1_000})
        assert answer.status_code < 500
        assert {one.operation for one in since(client, before)} == {"recording.export"}


def test_a_refused_subscription_is_told(server: ServerThread) -> None:
    """Also one that is refused on a socket that is open."""
    words = "correct horse battery staple"
    assert server.http.post("/api/v1/users", json={"name": "nobody", "password": words}).status_code == 201
    answer = httpx.post(f"{server.url}/api/v1/login", json={"name": "nobody", "password": words})
    with (
        Client(server.url, token=server.token) as client,
        Peer(server.url, "/api/v1/live", answer.json()["access_token"]) as peer,
    ):
        before = last(client)
        peer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS))
        assert peer.expect(Problem).status == 403
        (told,) = wait_until(lambda: since(client, before), "the record")
        assert (told.operation, told.actor, str(told.decision)) == ("live.subscribe", "nobody", "refused")


@pytest.mark.slow
def test_a_flood_of_log_ins_does_not_fill_the_trail(server: ServerThread) -> None:
    """What is over the limit is one record and a number, however many come."""
    with Client(server.url, token=server.token) as client:
        before = last(client)
        with httpx.Client(base_url=server.url) as http:
            answers = [
                http.post("/api/v1/login", json={"name": "flooded", "password": "a wrong password"}).status_code
                for _ in range(60)
            ]
        found = since(client, before)
        assert answers.count(429) > 20
        assert len(found) == answers.count(401) + 1
        assert found[-1].detail["code"] == "rate_limited"


def test_nobody_chooses_where_they_come_from(server: ServerThread) -> None:
    """Forwarded headers are not believed: the trail and the limits see the connection, and that it was passed on."""
    spoofed = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    with Client(server.url, token=server.token) as client:
        before = last(client)
        answer = httpx.post(
            f"{server.url}/api/v1/login", json={"name": "spoofer", "password": "a wrong password"}, headers=spoofed
        )
        assert answer.status_code == 401
        found = since(client, before)
        assert {one.network for one in found} == {"proxy 127.0.0.1"}
        assert "203.0.113.9" not in str(found)
