"""The one table from errors to problem details (RFC 9457); services know nothing of it."""

from __future__ import annotations

import http
import logging

from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

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
    VersionMismatchError,
)
from cybercorp.protocol.problems import TYPE_PREFIX, Problem
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES

_STATUS: tuple[tuple[type[CyberCorpError], int], ...] = (
    (UnauthenticatedError, 401),
    (AccessError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (LimitExceededError, 400),
    (InvalidInputError, 400),
    (VersionMismatchError, 400),
    (RateLimitedError, 429),
    (StorageError, 503),
)
_CODES: dict[int, type[CyberCorpError]] = {
    400: InvalidInputError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InvalidInputError,
    413: LimitExceededError,
    415: InvalidInputError,
    429: RateLimitedError,
}
_GONE = "client disconnected prematurely"  # Litestar's word; whoever goes away is no fault of the server's
_REFERENCE = "The reference is at /api/docs."
_LOG = logging.getLogger("cybercorp.server")


def status_of(error: CyberCorpError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: CyberCorpError, *, subscription: int | None = None) -> Problem:
    """The problem that travels for an error."""
    status = status_of(error)
    return Problem(
        type=f"{TYPE_PREFIX}{error.code}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        code=error.error_code,
        detail=error.message,
        hint=error.hint,
        retryable=error.retryable,
        subscription=subscription,
        retry_after_s=error.retry_after_s if isinstance(error, RateLimitedError) else None,
    )


def problem_of_exception(error: Exception) -> Problem:
    """The problem for anything that a handler let through: ours, Litestar's, or a bug, of which nothing leaks."""
    if isinstance(error, CyberCorpError):
        return problem_of(error)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _from_litestar(error)
    if isinstance(error, InternalServerException) and error.detail == _GONE:
        return problem_of(InvalidInputError("The body did not arrive whole.", hint="Send it again."))
    if isinstance(error, RecursionError) and "deserializing" in str(error):
        return problem_of(InvalidInputError("The body is nested too deeply.", hint=_REFERENCE))
    if isinstance(error, UnicodeDecodeError) and _came_from(error, "decode_json"):
        return problem_of(InvalidInputError("The body is not UTF-8.", hint=_REFERENCE))
    _LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
    return problem_of(InternalError("The server failed to answer.", hint="Its log says why; please report it."))


def _came_from(error: Exception, function: str) -> bool:
    """Whether a function of this name raised it: the same error from elsewhere is a bug."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name == function


def _from_litestar(error: HTTPException) -> Problem:
    kind = _CODES.get(error.status_code, InvalidInputError)
    detail, hint, code = f"The request is not valid: {str(error.detail)[:300]}.", _REFERENCE, kind.code
    if error.status_code == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail, hint = "The body is too large.", f"Send at most {MAX_MESSAGE_BYTES // 1024} KiB."
    elif isinstance(error, NotFoundException):
        detail, hint, code = "There is nothing at this address.", _REFERENCE, "route_not_found"
    elif isinstance(error, MethodNotAllowedException):
        detail, hint, code = "This address does not take that method.", _REFERENCE, "method_not_allowed"
    elif isinstance(error, ValidationException):
        detail = _validation(error)
    return Problem(
        type=f"{TYPE_PREFIX}{kind.code}",
        title=http.HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        code=code,
        detail=detail,
        hint=hint,
    )


def _validation(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    parts = [
        f"'{str(one.get('key', '?'))[:80]}': {str(one.get('message', ''))[:150]}"
        for one in extra
        if isinstance(one, dict)
    ]
    return f"The request is not valid: {'; '.join(parts[:5]) or str(error.detail)[:200]}."
