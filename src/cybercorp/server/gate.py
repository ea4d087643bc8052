"""The outermost layer: who may address this server by which name, from which page, and what every answer carries.

A `Host` that is not ours is DNS rebinding; an `Origin` that is not ours is a foreign page in somebody's browser. Both
are refused for HTTP and for WebSockets, before anything else looks at the request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX, Problem
from cybercorp.protocol.servers import PINS_HEADER, PROTOCOL_HEADER, PROTOCOL_VERSION
from cybercorp.server.audit_trail import mark_refused
from cybercorp.server.networks import Network, came_from

_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_HEADERS = [
    (PROTOCOL_HEADER.lower().encode(), str(PROTOCOL_VERSION).encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# What proxies add besides X-Forwarded-For, of which alone the address is read.
_PASSED_ON = frozenset({b"forwarded", b"x-real-ip", b"x-forwarded-host", b"x-forwarded-proto", b"via"})
# RFC 6797; a year. On a name without TLS a browser takes no notice of it.
_SECURE_HEADERS = [(b"strict-transport-security", b"max-age=31536000; includeSubDomains")]


class Gate:
    """Wraps the application. `names` are the host names, in lower case, that this server answers to.

    The numeric address that a connection came to is always good: a rebound name is never a number.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: frozenset[str],
        proxies: Sequence[Network] = (),
        pins: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`proxies` are those whose word on where a request came from counts; `pins` is told over TLS alone."""
        self._app = app
        self._names = names
        self._proxies = proxies
        self._pins = pins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = str(scope["type"])
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        if client is not None:
            scope["client"] = (_behind(scope, client[0], self._proxies), client[1])
        hosts, origins = (
            [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
            for wanted in (b"host", b"origin")
        )
        reached = scope.get("server")  # the address of this machine that the connection came to
        refusal = self._refusal(hosts, origins, reached[0] if reached else None)
        secure = str(scope.get("scheme")) in ("https", "wss")
        answer = _with_headers(send, self._pins() if secure else (), secure=secure)
        if refusal is not None:
            mark_refused(scope, refusal.code)
        if refusal is None:
            await self._app(scope, receive, answer)
        elif kind == "http":
            await _answer(answer, "http.response", refusal)
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            await _answer(answer, "websocket.http.response", refusal)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "forbidden"})

    def _refusal(self, hosts: Sequence[str], origins: Sequence[str], reached: str | None) -> Problem | None:
        name = _name(f"//{hosts[0]}") if len(hosts) == 1 else None
        if name is None or (name not in self._names and name != reached):
            return _forbidden(
                "This server does not answer to that name.",
                "Use its numeric address, or add the name to the setting allowed_hosts.",
                "host_not_allowed",
            )
        if len(origins) > 1 or (origins and _authority(origins[0]) != hosts[0].lower()):
            return _forbidden(
                "Requests from other sites are refused.", "Open this server's own pages.", "origin_not_allowed"
            )
        return None


def _behind(scope: Scope, peer: str, proxies: Sequence[Network]) -> str:
    said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    passed_on = bool(said) or any(name in _PASSED_ON for name, _ in scope["headers"])
    return came_from(peer, b",".join(said).decode("latin-1"), proxies, passed_on=passed_on)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _forbidden(detail: str, hint: str, code: str) -> Problem:
    return Problem(type=f"{TYPE_PREFIX}forbidden", title="Forbidden", status=403, code=code, detail=detail, hint=hint)


async def _answer(send: Send, kind: str, problem: Problem) -> None:
    start: Any = {
        "type": f"{kind}.start",
        "status": problem.status,
        "headers": [(b"content-type", PROBLEM_MEDIA_TYPE.encode())],
    }
    body: Any = {"type": f"{kind}.body", "body": msgspec.json.encode(problem)}
    await send(start)
    await send(body)


def _with_headers(send: Send, pins: Sequence[str], *, secure: bool) -> Send:
    always = [*_HEADERS, *_SECURE_HEADERS] if secure else _HEADERS
    if pins:
        always = [*always, (PINS_HEADER.lower().encode(), " ".join(pins).encode())]

    async def answer(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = list(message.get("headers", []))
            has_policy = any(name.lower() == b"content-security-policy" for name, _ in headers)
            extra = [] if has_policy else [(b"content-security-policy", _POLICY.encode())]
            message["headers"] = [*headers, *always, *extra]
        elif message["type"] == "websocket.accept" and pins:
            message["headers"] = [*message.get("headers", []), always[-1]]
        await send(message)

    return answer
