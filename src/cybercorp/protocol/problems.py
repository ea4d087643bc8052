"""Problem details (RFC 9457): how every error travels, over HTTP and over a socket."""

from __future__ import annotations

import msgspec

from cybercorp.core.errors import (
    AccessError,
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    RateLimitedError,
    StorageError,
    UnauthenticatedError,
    error_classes,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:cybercorp:problem:"
_BY_STATUS: dict[int, type[CyberCorpError]] = {
    400: InvalidInputError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: LimitExceededError,
    422: InvalidInputError,
    423: AccessError,
    429: RateLimitedError,
    500: InternalError,
    503: StorageError,
    507: StorageError,
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is stable and names the error's class, `detail` says what happened, `hint` what to do next.

    `retry_after_s` comes with `rate_limited`.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    retryable: bool = False
    subscription: int | None = None
    retry_after_s: float | None = None


def error_of(problem: Problem) -> CyberCorpError:
    """The exception that the service raised, for the client to raise again.

    Its class is the one that bears the problem's code; for a finer code (`host_not_found`) the one that the `type`
    names, else the one of the status.
    """
    classes = error_classes()
    made = classes.get(problem.code) or classes.get(problem.type.removeprefix(TYPE_PREFIX))
    made = made or _BY_STATUS.get(problem.status, CyberCorpError)
    error = made(problem.detail, hint=problem.hint, code=problem.code)
    if isinstance(error, RateLimitedError) and problem.retry_after_s is not None:
        error.retry_after_s = problem.retry_after_s
    return error
