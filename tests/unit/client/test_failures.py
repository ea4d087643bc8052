"""Why a socket was refused or closed, in words."""

import msgspec
import pytest

from cybercorp.client.failures import closed, is_hopeless, refused
from cybercorp.core.errors import (
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)
from cybercorp.protocol.problems import Problem

URL = "http://h:1"


def _refused(status: int, code: str) -> CyberCorpError:
    told = Problem(type="urn:x", title="t", status=status, code=code, detail="No.", hint="Do this.")
    headers = {"cybercorp-protocol": "1", "content-type": "application/problem+json"}
    return refused(status, headers, msgspec.json.encode(told), URL)


def test_a_refused_handshake_raises_the_services_error() -> None:
    """The problem in the answer decides, not the number alone."""
    assert isinstance(_refused(401, "unauthenticated"), UnauthenticatedError)
    assert isinstance(_refused(403, "forbidden"), ForbiddenError)
    assert _refused(409, "agent_already_connected").error_code == "agent_already_connected"


def test_a_bare_refusal_is_read_by_its_status() -> None:
    """A web server that refuses before our code runs says nothing but a number."""
    assert isinstance(refused(403, {}, b"", URL), UnauthenticatedError)
    assert isinstance(refused(404, {}, b"<html>", URL), VersionMismatchError)
    assert isinstance(refused(200, {"cybercorp-protocol": "1"}, b"", URL), VersionMismatchError)
    assert isinstance(refused(503, {"cybercorp-protocol": "1"}, b"busy", URL), UnreachableError)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1012, "", UnreachableError),
        (1006, "", UnreachableError),
        (4999, "?", UnreachableError),
        (1008, "unauthenticated: the token was revoked", UnauthenticatedError),
        (1008, "agent_already_connected", ConflictError),
        (1008, "", UnauthenticatedError),
    ],
)
def test_a_close_code_becomes_an_error(code: int, reason: str, expected: type[CyberCorpError]) -> None:
    """1008 carries the code of the error in its reason; everything else is a connection that went away."""
    assert isinstance(closed(code, reason, URL), expected)


def test_what_the_other_side_says_cannot_reach_the_terminal() -> None:
    """A hostile reason is spelled out."""
    assert "\x1b" not in str(closed(1008, "\x1b[2Jgone", URL))
    assert "\x1b" not in str(closed(1011, "\x1b[2Jgone", URL))


def test_only_what_a_person_must_mend_is_hopeless() -> None:
    """A restart is retried soon; a revoked token slowly; two agents of one name may part soon."""
    assert is_hopeless(closed(1008, "unauthenticated", URL))
    assert is_hopeless(VersionMismatchError("x"))
    assert not is_hopeless(closed(1012, "", URL))
    assert not is_hopeless(closed(1008, "agent_already_connected", URL))
