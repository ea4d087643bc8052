"""The OpenAPI document and the reference page tell the truth about the running application."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from litestar import Litestar
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cybercorp.protocol.agents import Acknowledge
from cybercorp.server.app import make_app
from tests.attacks.people import make_user, session_of
from tests.integration.serving import ServerThread

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PAGES = ("/api/docs", "/api/openapi", "/passkey")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server with a host that has samples."""
    with ServerThread(tmp_path_factory.mktemp("data")) as running:
        with running.agent("web-1") as agent:
            agent.announce()
            agent.samples(0.1, 0.2)
            agent.expect(Acknowledge)
        yield running


@pytest.fixture(scope="module")
def document(server: ServerThread) -> Any:
    return server.get("/api/openapi.json")


def headers_of(server: ServerThread, who: str) -> dict[str, str]:
    """An admin has a session of its own for each operation, for some of them end it."""
    if who == "nobody":
        return {}
    token = server.token if who == "owner" else session_of(server, "root", stepped_up=True)
    return {"Authorization": f"Bearer {token}"}


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_route_is_in_the_document(server: ServerThread, document: Any) -> None:
    """Every route of the application but the documents themselves, with its summary, description and problems."""
    app: Litestar = make_app(server.services)._app._app  # type: ignore[attr-defined]
    routed = {
        (route.path_format, str(method).lower())
        for route in app.routes
        for method in getattr(route, "route_handler_map", {})
        if method != "OPTIONS" and not route.path_format.startswith(PAGES)
    }
    described = {(path, method) for path, method, _ in operations(document)}
    assert described == routed
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        content = operation["responses"]["400"]["content"]
        assert list(content) == ["application/problem+json"], (path, method)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["in"] == "path", (path, parameter["name"])
    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"token": []}]


def test_the_page_has_everything_and_nothing_from_elsewhere(server: ServerThread, document: Any) -> None:
    """Every route and parameter; no script, no picture, no font, no style of another site; a strict policy."""
    answer = server.http.get("/api/docs")
    assert answer.headers["content-type"].startswith("text/html")
    page = answer.text
    for path, method, operation in operations(document):
        assert f">{method.upper()}</span> {path}</h3>" in page
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in page
    for foreign in ("<script", "<link", "<img", "@import", "url(", "src=", "https://"):
        assert foreign not in page, foreign
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "admin", "nobody"])
def test_the_document_matches_the_application(server: ServerThread, document: Any, who: str) -> None:
    """Generated requests, good and bad, to every operation: no 5xx, and each answer is as the document says."""
    schema = schemathesis.openapi.from_dict(document)
    if who == "admin":
        make_user(server, "root", "admin")
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        tried += 1
        try_operation(server, result.ok(), who)
    assert tried > 60


def try_operation(server: ServerThread, operation: Any, who: str) -> None:
    headers = headers_of(server, who)

    @settings(
        max_examples=15 if who == "owner" else 8,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        own = headers
        if case.path.endswith("/enrol") and who == "owner":
            own = {"Authorization": f"Bearer {server.enrolment()}"}
        case.call_and_validate(base_url=server.url, headers=own, checks=CHECKS, timeout=20)

    given(case=operation.as_strategy())(run)()
