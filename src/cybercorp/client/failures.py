"""Why a socket could not be opened or was cut, as an error with words and a hint. Knows no WebSocket library."""

from __future__ import annotations

from collections.abc import Mapping

from cybercorp.client.calls import check_protocol, read_problem
from cybercorp.core.errors import (
    AccessError,
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    LimitExceededError,
    MalformedMessageError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)
from cybercorp.protocol.servers import PROTOCOL_HEADER
from cybercorp.security.display import safe_text

_ASK_AGAIN = "It is tried again by itself."
_CLOSED: dict[int, tuple[str, str]] = {
    1000: ("ended the connection", ""),
    1001: ("is going away", ""),
    1002: ("saw a protocol error", ""),
    1003: ("could not read a message", ""),
    1006: ("cut the connection", ""),
    1007: ("could not read a message", ""),
    1009: ("found a message too large", ""),
    1011: ("met an internal error", "Read its log."),
    1012: ("restarts", ""),
    1013: ("asks to come back later", ""),
}
_POLICY: dict[str, type[CyberCorpError]] = {
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "agent_already_connected": ConflictError,
    "version_mismatch": VersionMismatchError,
    "limit_exceeded": LimitExceededError,
}


def refused(status: int, headers: Mapping[str, str], body: bytes, url: str) -> CyberCorpError:
    """The handshake was answered with this HTTP status instead of 101."""
    if status < 400:
        return VersionMismatchError(
            f"The server at {url} opens no socket (it answered {status}).", hint="Check the address and its version."
        )
    told = read_problem(status, headers, body)
    if not isinstance(told, MalformedMessageError):
        return told
    if status in (401, 403):
        return UnauthenticatedError(f"The server at {url} refuses this token.", hint="Make a new one, or log in again.")
    if status in (502, 503, 504):
        return UnreachableError(f"The server at {url} is not ready ({status}).", hint=_ASK_AGAIN)
    try:
        check_protocol(headers.get(PROTOCOL_HEADER.lower()), url)
    except VersionMismatchError as error:
        return error
    return told


def closed(code: int, reason: str, url: str) -> CyberCorpError:
    """The socket was closed with this code; for 1008 the reason starts with the code of an error."""
    words = safe_text(reason, 160)
    if code == 1008:
        name, _, detail = words.partition(":")
        made = _POLICY.get(name.strip(), UnauthenticatedError)
        return made(
            f"The server at {url} ended the connection: {detail.strip() or words or 'it is not allowed any more'}.",
            hint="Check the token." if issubclass(made, AccessError) else "",
            code=name.strip() if name.strip() in _POLICY else None,
        )
    what, hint = _CLOSED.get(code, (f"closed the connection ({code})", ""))
    made_as = LimitExceededError if code == 1009 else UnreachableError
    return made_as(f"The server at {url} {what}{f': {words}' if words else ''}.", hint=hint or _ASK_AGAIN)


def is_hopeless(error: CyberCorpError) -> bool:
    """Whether trying again soon is useless: somebody must act first."""
    return isinstance(error, AccessError | VersionMismatchError | LimitExceededError)
