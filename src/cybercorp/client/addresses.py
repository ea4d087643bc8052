"""Addresses of servers: checked once, and what to say when nobody answers there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from cybercorp.core.errors import InvalidInputError, UnreachableError
from cybercorp.security.display import safe_text

LIVE_PATH = "/api/v1/live"
AGENT_PATH = "/api/v1/agents/connect"


def check_url(text: str) -> str:
    """The base address of a server without a trailing slash. `host:port` alone means https, http on loopback.

    Raises InvalidInputError (`invalid_url`).
    """
    given = text.strip()
    if "://" not in given:
        given = f"http://{given}" if is_loopback(f"http://{given}") else f"https://{given}"
    try:
        parts = urlsplit(given)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if (
        not valid
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not given.isprintable()
        or " " in given
    ):
        raise InvalidInputError(
            f"'{safe_text(text, 100)}' is not the address of a server.",
            hint="Write one like http://127.0.0.1:8765 or https://monitor.example.com.",
            code="invalid_url",
        )
    return given.rstrip("/")


def websocket_url(url: str, path: str) -> str:
    """`http://…` becomes `ws://…` with this path, `https://…` becomes `wss://…`."""
    return f"ws{url.removeprefix('http')}{path}"


def is_loopback(url: str) -> bool:
    """Whether the address names this machine's loopback."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unreachable(url: str, reason: str) -> UnreachableError:
    """The error that says where nobody answers, why, and what to start."""
    cause = safe_text(reason.strip().rstrip("."), 160)
    if "CERTIFICATE" in reason.upper():
        return UnreachableError(
            f"The certificate of {url} is not trusted: {cause}.", hint="Check the address and the certificate."
        )
    start = "cybercorp up" if is_loopback(url) else "cybercorp server run (on that machine)"
    return UnreachableError(f"No server answers at {url}: {cause}.", hint=f"Is it running? Start it with: {start}")
