"""server.gate: what every answer carries, by the way it came."""

from __future__ import annotations

from typing import Any

import pytest

from cybercorp.server.gate import Gate


async def headers_of(scheme: str, host: bytes = b"localhost") -> dict[bytes, bytes]:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def keep(message: Any) -> None:
        sent.append(message)

    async def nothing() -> Any:
        return {"type": "http.request"}

    scope: Any = {"type": "http", "scheme": scheme, "headers": [(b"host", host)], "server": ("127.0.0.1", 1)}
    await Gate(app, frozenset({"localhost"}))(scope, nothing, keep)
    return dict(sent[0]["headers"])


@pytest.mark.parametrize("host", [b"localhost", b"evil.example"])
async def test_browsers_come_back_over_tls_only(host: bytes) -> None:
    """A year of HSTS on each answer over TLS, refusals too; none on loopback, where there is no TLS."""
    assert (await headers_of("https", host))[b"strict-transport-security"] == b"max-age=31536000; includeSubDomains"
    assert b"strict-transport-security" not in await headers_of("http", host)
