"""Nothing answers anonymously, nothing without a permission is served, nobody gets in by another name."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from cybercorp.protocol.live import Topic
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import MESSAGES, TOPIC_PERMISSIONS
from cybercorp.security.tokens import TokenKind, new_token
from cybercorp.server.api.guards import ANONYMOUS
from cybercorp.server.app import make_app
from tests.integration.serving import Peer, ServerThread, problem
from tests.joined import headers_of

SOCKETS = ["/api/v1/live", "/api/v1/agents/connect"]
ANONYMOUS_ROUTES = {
    "/.well-known/cybercorp/authority.pem",
    "/api/v1/agents/enrol",
    "/api/v1/login",
    "/api/v1/login/passkey",
    "/api/v1/login/passkey/finish",
    "/api/v1/login/refresh",
    "/api/v1/passkeys/answer",
    "/api/v1/passkeys/options",
    "/health/live",
    "/health/ready",
    "/passkey",
    "/passkey.css",
    "/passkey.js",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """One server for the tests of this file, with one host."""
    with ServerThread(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def agent_headers(server: ServerThread) -> dict[str, str]:
    """What an agent that joined shows in its handshake."""
    return headers_of(server.join("walker"))


def routes(server: ServerThread) -> list[tuple[str, str, Any]]:
    """Method, path with its parameters filled in, and handler of every HTTP route of the application."""
    app: Litestar = make_app(server.services)._app._app  # type: ignore[attr-defined]
    found = []
    for route in app.routes:
        path = "/" + "/".join(
            "walker" if part.startswith("{") else part for part in route.path_format.strip("/").split("/")
        )
        for method, handler in getattr(route, "route_handler_map", {}).items():
            one = handler[0] if isinstance(handler, tuple) else handler
            found.append((str(method), path, one))
    return found


def ask(server: ServerThread, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= options.pop("headers", {})
    return httpx.request(
        method, server.url + path, headers=headers, trust_env=False, verify=False, timeout=10, **options
    )


def handshake(server: ServerThread, path: str, token: str | None, **options: Any) -> tuple[int, Problem]:
    """The status and the problem of a refused WebSocket handshake."""
    with pytest.raises(InvalidStatus) as refused:
        Peer(server.url, path, token, **options)
    response = refused.value.response
    return response.status_code, msgspec.json.decode(response.body or b"", type=Problem)


def test_every_route_declares_a_permission(server: ServerThread) -> None:
    """A route without one would answer 500; the anonymous ones are exactly those of the design."""
    walked = routes(server)
    assert len(walked) > 12
    anonymous = set()
    for method, path, handler in walked:
        if method == "OPTIONS":
            continue
        permission = handler.opt.get("permission")
        assert permission == ANONYMOUS or isinstance(permission, Permission), (method, path)
        if permission == ANONYMOUS:
            anonymous.add(path)
    assert anonymous == ANONYMOUS_ROUTES


def test_every_route_refuses_whoever_shows_no_token(server: ServerThread) -> None:
    """401 with a problem and a challenge, for every method of every route but the anonymous ones."""
    for method, path, _ in routes(server):
        if path in ANONYMOUS_ROUTES and path != "/api/v1/agents/enrol":
            continue
        for token in (None, "nonsense", new_token(TokenKind.OWNER), new_token(TokenKind.API)):
            body = {"json": {"name": "x", "public_key": "ab" * 32}} if path.endswith("enrol") else {}
            answer = ask(server, method, path, token, **body)
            if method == "OPTIONS":
                continue
            assert answer.status_code == HTTPStatus.UNAUTHORIZED, (method, path, answer.text)
            assert problem(answer).code == "unauthenticated"
            assert "realm" in answer.headers["www-authenticate"]


def test_every_viewer_route_refuses_an_agent(server: ServerThread, agent_headers: dict[str, str]) -> None:
    """An agent proves itself in the agents' socket and nowhere else: 401."""
    for method, path, handler in routes(server):
        if method == "OPTIONS" or handler.opt.get("permission") == ANONYMOUS:
            continue
        answer = ask(server, method, path, None, headers=agent_headers)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED, (method, path, answer.text)
        assert problem(answer).code == "unauthenticated"
    assert server.get("/api/v1/hosts/walker")["name"] == "walker"


def test_an_enrolment_token_is_no_login(server: ServerThread) -> None:
    """It joins an agent, and opens no route and no socket."""
    token = server.enrolment()
    assert ask(server, "GET", "/api/v1/hosts", token).status_code == HTTPStatus.UNAUTHORIZED
    for path in SOCKETS:
        assert handshake(server, path, token)[0] == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("path", SOCKETS)
def test_sockets_refuse_whoever_shows_no_token(server: ServerThread, path: str) -> None:
    """The handshake is answered with 401 and a problem; the socket never opens. A token in the query does not count."""
    for token in (None, "nonsense", new_token(TokenKind.OWNER)):
        status, found = handshake(server, path, token)
        assert (status, found.code) == (HTTPStatus.UNAUTHORIZED, "unauthenticated")
    assert handshake(server, f"{path}?token={server.token}", None)[0] == HTTPStatus.UNAUTHORIZED


def test_sockets_are_for_their_own_kind(server: ServerThread, agent_headers: dict[str, str]) -> None:
    """An agent may not look, the owner may not pretend to be an agent."""
    assert handshake(server, "/api/v1/live", None, headers=agent_headers)[0] == HTTPStatus.UNAUTHORIZED
    assert handshake(server, "/api/v1/agents/connect", server.token)[0] == HTTPStatus.FORBIDDEN


def test_every_message_and_topic_has_a_permission() -> None:
    """The registry knows who may send and receive what."""
    assert all(isinstance(one.permission, Permission) for one in MESSAGES.values())
    assert set(TOPIC_PERMISSIONS) == set(Topic)


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[::1", "", "a@b"])
def test_another_host_name_is_refused(server: ServerThread, name: str) -> None:
    """DNS rebinding: a name that is not ours is answered with 403, before anything else is looked at."""
    answer = ask(server, "GET", "/api/v1/hosts", server.token, headers={"Host": name})
    assert (answer.status_code, problem(answer).code) == (HTTPStatus.FORBIDDEN, "host_not_allowed")


@pytest.mark.parametrize("name", ["localhost:1", "LOCALHOST", "[::1]:8765", "127.0.0.1"])
def test_our_own_names_are_served(server: ServerThread, name: str) -> None:
    """Loopback's names, with any port, in any case."""
    assert ask(server, "GET", "/api/v1/hosts", server.token, headers={"Host": name}).status_code == HTTPStatus.OK


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://[", "file://", ""])
def test_a_foreign_origin_is_refused(server: ServerThread, origin: str) -> None:
    """A page of another site gets nothing, over HTTP and over WebSockets, also with a good token."""
    answer = ask(server, "GET", "/api/v1/hosts", server.token, headers={"Origin": origin})
    assert (answer.status_code, problem(answer).code) == (HTTPStatus.FORBIDDEN, "origin_not_allowed")
    status, found = handshake(server, "/api/v1/live", server.token, headers={"Origin": origin})
    assert (status, found.code) == (HTTPStatus.FORBIDDEN, "origin_not_allowed")


@pytest.mark.parametrize(
    "origin",
    [
        *("http://sub.localhost:{0}", "http://localhost.:{0}", "http://localhost", "http://localhost:{0}.evil.example"),
        *("http://x@localhost:{0}", "http://localhost:{0}@evil.example", "http://LOCALHOST.evil.example:{0}"),
    ],
)
def test_an_origin_that_looks_like_ours_is_refused(server: ServerThread, origin: str) -> None:
    """A sub-domain, a dot at the end, another port, a name before an @: none is the server's own."""
    headers = {"Host": f"localhost:{server.port}", "Origin": origin.format(server.port)}
    answer = ask(server, "GET", "/api/v1/hosts", server.token, headers=headers)
    assert (answer.status_code, problem(answer).code) == (HTTPStatus.FORBIDDEN, "origin_not_allowed")
    status, found = handshake(server, "/api/v1/live", server.token, headers={"Origin": origin.format(server.port)})
    assert (status, found.code) == (HTTPStatus.FORBIDDEN, "origin_not_allowed")


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded"])
def test_nobody_believes_a_name_in_another_header(server: ServerThread, name: str) -> None:
    """It neither lets a foreign name in nor keeps our own out."""
    ours, theirs = f"localhost:{server.port}", "evil.example"
    said = {ours: f"host={ours}", theirs: f"host={theirs}"} if name == "Forwarded" else {ours: ours, theirs: theirs}
    refused = ask(server, "GET", "/api/v1/hosts", server.token, headers={"Host": theirs, name: said[ours]})
    assert (refused.status_code, problem(refused).code) == (HTTPStatus.FORBIDDEN, "host_not_allowed")
    served = ask(server, "GET", "/passkey", None, headers={"Host": ours, name: said[theirs]})
    assert served.status_code == HTTPStatus.OK
    assert theirs not in served.text


def test_our_own_origin_is_served(server: ServerThread) -> None:
    """The server's own pages may ask."""
    answer = ask(server, "GET", "/api/v1/hosts", server.token, headers={"Origin": server.url})
    assert answer.status_code == HTTPStatus.OK
    Peer(server.url, "/api/v1/live", server.token, headers={"Origin": server.url}).close()


def test_a_foreign_host_name_is_refused_on_sockets(server: ServerThread) -> None:
    """As for HTTP."""
    status, found = handshake(server, "/api/v1/live", server.token, headers={"Host": "evil.example"})
    assert (status, found.code) == (HTTPStatus.FORBIDDEN, "host_not_allowed")


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("offered", [["cybercorp.v9.msgpack"], ["chat", "soap"], None])
def test_a_wrong_subprotocol_is_refused(
    server: ServerThread, agent_headers: dict[str, str], path: str, offered: list[str] | None
) -> None:
    """A client of another version is told which versions are spoken."""
    headers = {"Authorization": f"Bearer {server.token}"} if path == "/api/v1/live" else agent_headers
    subprotocols = [Subprotocol(one) for one in offered] if offered else None
    status, found = handshake(server, path, None, headers=headers, subprotocols=subprotocols)
    assert (status, found.code) == (HTTPStatus.BAD_REQUEST, "version_mismatch")
    assert "cybercorp.v1.msgpack" in found.hint


def test_every_answer_says_protocol_and_policy(server: ServerThread) -> None:
    """The protocol's version, no sniffing, no framing, no caching: on good answers, problems and refusals alike."""
    answers = [
        ask(server, "GET", "/api/v1/hosts", server.token),
        ask(server, "GET", "/nowhere", None),
        ask(server, "GET", "/api/v1/hosts", None, headers={"Host": "evil.example"}),
    ]
    for answer in answers:
        assert answer.headers["cybercorp-protocol"] == "1"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_a_browser_may_show_the_token_as_password(server: ServerThread) -> None:
    """HTTP Basic opens the reference pages only."""
    basic = httpx.BasicAuth("anybody", server.token)
    for path in ("/api/docs", "/api/openapi.json"):
        assert ask(server, "GET", path, None, auth=basic).status_code == HTTPStatus.OK
        assert ask(server, "GET", path, None).headers["www-authenticate"].startswith("Basic")
    assert ask(server, "GET", "/api/v1/hosts", None, auth=basic).status_code == HTTPStatus.UNAUTHORIZED


def test_the_owner_credential_is_private(server: ServerThread) -> None:
    """owner.json can be read by its user only and holds the address."""
    path: Path = server.folder / "owner.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert msgspec.json.decode(path.read_bytes())["url"] == server.url
