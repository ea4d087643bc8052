"""Bearer tokens: opaque, 256 random bits, a prefix that says what they are for, a checksum that finds typing errors.

Only the SHA-256 of a token is ever stored by a server. The layout is `cc<kind>_<secret>_<crc>`; the prefix lets secret
scanners find leaked ones.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from enum import StrEnum


class TokenKind(StrEnum):
    """What a token is for: it speaks for the local owner or a program, admits an agent, renews a session,
    continues a ceremony in a browser; or is a signed access token (JWT, RFC 9068).
    """

    OWNER = "owner"
    ENROLMENT = "enrolment"
    API = "api"
    REFRESH = "refresh"
    CEREMONY = "ceremony"
    ACCESS = "access"


_PREFIXES = {
    TokenKind.OWNER: "cco",
    TokenKind.ENROLMENT: "cce",
    TokenKind.API: "cct",
    TokenKind.REFRESH: "ccr",
    TokenKind.CEREMONY: "cch",
}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}
MAX_TOKEN_LENGTH = 128
MAX_ACCESS_LENGTH = 8192


def new_token(kind: TokenKind) -> str:
    """A fresh token of this kind."""
    secret = base64.b32encode(os.urandom(32)).decode("ascii").rstrip("=").lower()
    body = f"{_PREFIXES[kind]}_{secret}"
    return f"{body}_{_checksum(body)}"


def token_kind(token: str) -> TokenKind | None:
    """The kind, or None where the text cannot be a token of ours (wrong prefix, length or checksum)."""
    if not token.isascii() or len(token) > MAX_ACCESS_LENGTH:
        return None
    if token.count(".") == 2:
        return TokenKind.ACCESS
    if len(token) > MAX_TOKEN_LENGTH:
        return None
    body, _, crc = token.rpartition("_")
    if not body or crc != _checksum(body):
        return None
    return _KINDS.get(body.partition("_")[0])


def token_hash(token: str) -> str:
    """What is stored and looked up: SHA-256, hexadecimal. The secret has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
