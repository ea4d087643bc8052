"""Problem details (RFC 9457): how every error travels, over HTTP and over a socket."""

from __future__ import annotations

import msgspec

from cybercorp.core.errors import CyberCorpError, error_classes

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:cybercorp:problem:"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is stable and names the error's class, `detail` says what happened, `hint` what to do next."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    retryable: bool = False
    subscription: int | None = None


def error_of(problem: Problem) -> CyberCorpError:
    """The exception that the service raised, for the client to raise again."""
    made = error_classes().get(problem.code, CyberCorpError)
    return made(problem.detail, hint=problem.hint, code=problem.code)
