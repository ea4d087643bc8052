"""The bearer token of a request (RFC 6750), and for a browser's pages the password of HTTP Basic (RFC 7617)."""

from __future__ import annotations

import base64

from cybercorp.security.tokens import MAX_ACCESS_LENGTH

_MAX_HEADER = MAX_ACCESS_LENGTH + 64


def bearer_token(header: str | None) -> str | None:
    """The token of `Authorization: Bearer …`, None where there is none."""
    scheme, _, token = (header or "")[:_MAX_HEADER].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def basic_password(header: str | None) -> str | None:
    """The password of `Authorization: Basic …`, None where there is none."""
    scheme, _, encoded = (header or "")[:_MAX_HEADER].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return password or None
