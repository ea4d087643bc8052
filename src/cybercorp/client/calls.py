"""What a façade needs from a transport, and how an answer of a server becomes a value or an exception.

Knows no HTTP library: `http.py` and `enrolment.py` both send requests, and both read the answers here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from cybercorp.core.errors import CyberCorpError, MalformedMessageError, NotFoundError, VersionMismatchError
from cybercorp.core.version import VERSION
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.problems import Problem, error_of
from cybercorp.protocol.servers import PROTOCOL_HEADER, PROTOCOL_VERSION

AnswerT = TypeVar("AnswerT")
Params = Sequence[tuple[str, str | int | float | bool | None]]

MSGPACK_MEDIA_TYPE = "application/x-msgpack"
REQUEST_HEADERS = {
    "Accept": f"{MSGPACK_MEDIA_TYPE}, application/problem+json",
    "User-Agent": f"cybercorp/{VERSION}",
    PROTOCOL_HEADER: str(PROTOCOL_VERSION),
}


class Caller(Protocol):
    """Sends one request and returns the typed answer, or raises the error that the service raised.

    `token` stands in for the caller's own, where somebody joins with a token that was given to him.
    """

    async def call(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        *,
        params: Params = (),
        body: msgspec.Struct | None = None,
        token: str | None = None,
    ) -> AnswerT: ...


def complete(call: Coroutine[Any, Any, AnswerT]) -> AnswerT:
    """The result of a coroutine that never waits, because its transport blocks: no loop, no thread."""
    try:
        call.send(None)
    except StopIteration as done:
        value: AnswerT = done.value
        return value
    call.close()
    raise RuntimeError("a blocking call tried to wait on an event loop")


def present(params: Params) -> tuple[tuple[str, str], ...]:
    """The parameters that were given, as text."""
    return tuple((key, _text(value)) for key, value in params if value is not None)


def _text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def segment(name: str) -> str:
    """A name as one segment of a path. Raises NotFoundError for what no path can carry."""
    if name in ("", ".", ".."):
        raise NotFoundError(
            f"There is no host '{name}'.", hint="List them with: cybercorp hosts.", code="host_not_found"
        )
    return quote(name, safe="", errors="replace")


def read_answer(status: int, headers: Mapping[str, str], body: bytes, answer: type[AnswerT], *, url: str) -> AnswerT:
    """The typed value of an answer. `headers` answers to lower-case names.

    Raises the service's own error for a problem, VersionMismatchError where the server speaks another protocol or is
    none of ours, MalformedMessageError where the body is not what was promised.
    """
    check_protocol(headers.get(PROTOCOL_HEADER.lower()), url)
    if status >= 400:
        raise read_problem(status, headers, body)
    if status == 204 or answer is type(None):
        return None  # type: ignore[return-value]  # the caller asked for NoneType
    decoder = msgspec.msgpack if _media_type(headers) == MSGPACK_MEDIA_TYPE else msgspec.json
    try:
        value: AnswerT = decoder.decode(body, type=answer)
        return value
    except UNREADABLE as error:
        raise MalformedMessageError(
            f"The answer of the server could not be read: {str(error)[:200]}.",
            hint="Install the same CyberCorp version on both sides.",
        ) from error


def check_protocol(spoken: str | None, url: str) -> None:
    """Raise VersionMismatchError unless the protocol that the other side says it speaks is ours."""
    if spoken is None:
        raise VersionMismatchError(
            f"What answers at {url} is not a CyberCorp server.", hint="Check the address.", code="not_cybercorp"
        )
    if spoken.strip() != str(PROTOCOL_VERSION):
        raise VersionMismatchError(
            f"The server at {url} speaks protocol {spoken.strip()[:20]}; this client speaks {PROTOCOL_VERSION}.",
            hint="Install the same CyberCorp version on both sides.",
        )


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> CyberCorpError:
    """The error that an answer of 400 and more tells; MalformedMessageError where it tells nothing."""
    try:
        decoder = msgspec.msgpack if _media_type(headers) == MSGPACK_MEDIA_TYPE else msgspec.json
        return error_of(decoder.decode(body, type=Problem))
    except UNREADABLE:
        return MalformedMessageError(f"The server answered {status} without saying why.", hint="Read the server's log.")


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
