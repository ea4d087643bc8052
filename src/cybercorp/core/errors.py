"""The one tree of errors. Every layer raises these; each edge maps them once (problem, exit code, notification).

CyberCorpError                    code, hint, retryable
├── InvalidInputError             what was given cannot be used as it is
│   ├── SettingsError             a setting is unknown or has a wrong value
│   ├── TimeExpressionError       a time or a duration cannot be read
│   ├── LimitExceededError        the answer or the message would be too large
│   └── MalformedMessageError     bytes that are no message of the protocol
├── NotFoundError                 no such host, metric, process, event, route
├── ConflictError                 it exists already, or another holds it
│   └── PortInUseError            another program listens there
├── AccessError                   may not
│   ├── UnauthenticatedError      nobody knows who asks
│   ├── ForbiddenError            known, and not allowed
│   │   └── StepUpRequiredError   allowed once it is proven again who asks
│   └── UntrustedServerError      the server is not the one whose key we know
├── RateLimitedError              too often; tells when to come again
├── UnreachableError              the server does not answer
├── VersionMismatchError          the other side speaks another protocol version
├── StorageError                  the store cannot do it
│   ├── StorageFullError          no space left
│   ├── StorageCorruptError       the file is damaged or no database
│   ├── StorageNewerError         written by a newer version
│   ├── StorageUnwritableError    the folder, file or database cannot be written
│   ├── StorageUnreachableError   the database server does not answer
│   └── StorageBusyError          the database did not answer in time; nothing was changed
└── InternalError                 a bug of ours
"""

from __future__ import annotations

from typing import ClassVar


class CyberCorpError(Exception):
    """Something that went wrong, in words for the person who has to act.

    `message` says what happened and why, `hint` what to do next. `code` is stable: scripts may rely on it.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.error_code = code or self.code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInputError(CyberCorpError):
    code = "invalid_input"


class SettingsError(InvalidInputError):
    code = "invalid_setting"


class TimeExpressionError(InvalidInputError):
    code = "invalid_time"


class LimitExceededError(InvalidInputError):
    code = "limit_exceeded"


class MalformedMessageError(InvalidInputError):
    code = "malformed_message"


class NotFoundError(CyberCorpError):
    code = "not_found"


class ConflictError(CyberCorpError):
    code = "conflict"


class PortInUseError(ConflictError):
    code = "port_in_use"


class AccessError(CyberCorpError):
    code = "access_denied"


class UnauthenticatedError(AccessError):
    code = "unauthenticated"


class ForbiddenError(AccessError):
    code = "forbidden"


class StepUpRequiredError(ForbiddenError):
    code = "step_up_required"


class UntrustedServerError(AccessError):
    code = "untrusted_server"


class RateLimitedError(CyberCorpError):
    """`retry_after_s`: when it is worth another try, in seconds."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class UnreachableError(CyberCorpError):
    code = "unreachable"
    retryable = True


class VersionMismatchError(CyberCorpError):
    code = "version_mismatch"


class StorageError(CyberCorpError):
    code = "storage_error"


class StorageFullError(StorageError):
    code = "storage_full"
    retryable = True


class StorageCorruptError(StorageError):
    code = "storage_corrupt"


class StorageNewerError(StorageError):
    code = "storage_newer"


class StorageUnwritableError(StorageError):
    code = "storage_unwritable"


class StorageUnreachableError(StorageError):
    code = "storage_unreachable"
    retryable = True


class StorageBusyError(StorageError):
    code = "storage_busy"
    retryable = True


class InternalError(CyberCorpError):
    code = "internal"


def error_classes() -> dict[str, type[CyberCorpError]]:
    """Every class of the tree by its code, so that the client raises the class that the service raised."""
    found: dict[str, type[CyberCorpError]] = {}
    pending: list[type[CyberCorpError]] = [CyberCorpError]
    while pending:
        one = pending.pop()
        found[one.code] = one
        pending.extend(one.__subclasses__())
    return found
