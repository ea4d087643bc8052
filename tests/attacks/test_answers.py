"""What every answer of a server carries, and what none does; asked of each route of the application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar

from cybercorp.server.app import make_app
from tests.integration.serving import ServerThread

SECRET = re.compile(r"token|password|secret|code\b|credential|signature", re.IGNORECASE)

IDS = {"delete /api/v1/tokens/{token}: token"}  # names a token by its id, which opens nothing


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("answers"), password_memory_kib=64) as running:
        yield running


def routes(server: ServerThread) -> list[tuple[str, str]]:
    """Method and path of every handler, each place filled with something; streams that never end are left out."""
    app: Litestar = make_app(server.services)._app._app  # type: ignore[attr-defined]
    found = set()
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in set(getattr(handler, "http_methods", ())) - {"OPTIONS"}:
                path = "/".join("nothing" if part.startswith("{") else part for part in route.path.split("/"))
                found.add((method, path))
    return sorted(found)


@pytest.fixture(scope="module")
def answers(server: ServerThread) -> list[httpx.Response]:
    """Every route, asked by nobody and by the owner; and what is nowhere."""
    with httpx.Client(base_url=server.url) as nobody:
        return list(asked(server, nobody))


def asked(server: ServerThread, nobody: httpx.Client) -> Iterator[httpx.Response]:
    for method, path in [*routes(server), ("GET", "/nowhere"), ("GET", "/api/v1/nowhere")]:
        body: dict[str, Any] = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
        yield nobody.request(method, path, **body)
        if path.endswith(("/logout", "/rotate")):
            continue
        yield server.http.request(method, path, **body)


def test_every_answer_is_hardened(answers: list[httpx.Response]) -> None:
    """Policies for browsers on each, also on errors; no cookie, no CORS, no redirect, nothing that may be kept."""
    count = 0
    for answer in answers:
        where = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, where
        assert "frame-ancestors 'none'" in policy, where
        assert "unsafe" not in policy, where
        assert headers["x-content-type-options"] == "nosniff", where
        assert headers["referrer-policy"] == "no-referrer", where
        assert headers["cache-control"] == "no-store", where
        assert "set-cookie" not in headers, where
        assert not [name for name in headers if name.startswith("access-control")], where
        assert not 300 <= answer.status_code < 400, where
        assert answer.status_code < 500, where
        assert not answer.content or headers.get("content-type"), where
        count += 1
    assert count > 40


def test_pages_hold_no_inline_code(answers: list[httpx.Response]) -> None:
    """A script is a file of ours or carries the nonce of its answer; no handler stands in an attribute."""
    pages = [answer for answer in answers if answer.headers.get("content-type", "").startswith("text/html")]
    for page in pages:
        for script in re.findall(r"<script\b[^>]*>", page.text, re.IGNORECASE):
            assert " src=" in script or " nonce=" in script, page.url
        assert not re.search(r"<[^>]+\son\w+\s*=", page.text, re.IGNORECASE), page.url
        assert "javascript:" not in page.text.lower()
        assert "innerHTML" not in page.text


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PROPFIND", "DELETE"])
def test_methods_that_nobody_declared(server: ServerThread, method: str) -> None:
    """405, and nothing of the request comes back."""
    answer = server.http.request(method, "/api/v1/hosts", headers={"x-mirror": "reflected"})
    assert answer.status_code in (400, 405)
    assert "reflected" not in answer.text


def test_no_parameter_is_a_secret(server: ServerThread) -> None:
    """What is secret travels in a header or a body, never in an address, which ends in logs and histories."""
    document = server.get("/api/openapi.json")
    named = [
        f"{method} {path}: {parameter['name']}"
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        for parameter in one.get("parameters", ())
        if parameter["in"] in ("query", "path") and SECRET.search(parameter["name"])
    ]
    assert len(document["paths"]) > 20
    assert set(named) <= IDS
