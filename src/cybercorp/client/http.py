"""HTTP by httpx, the one module that imports it: one transport for both façades, blocking or awaited."""

from __future__ import annotations

import contextlib
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from cybercorp.client.addresses import is_loopback, unreachable
from cybercorp.client.authorization import Authorization, FixedToken, SessionToken
from cybercorp.client.calls import REQUEST_HEADERS, Params, check_protocol, present, read_answer, read_problem
from cybercorp.client.passkeys import STEP_UP_FINISH
from cybercorp.client.pins import learn_pins, trust_backup
from cybercorp.client.session_store import SessionStore
from cybercorp.client.trust import is_verification, make_context, untrusted_certificate
from cybercorp.core.errors import (
    CyberCorpError,
    InvalidInputError,
    LimitExceededError,
    StepUpRequiredError,
    UnauthenticatedError,
    UnreachableError,
)
from cybercorp.protocol.logins import Account, Refresh, StepUp, Tokens
from cybercorp.protocol.passkeys import CeremonyCode
from cybercorp.protocol.servers import PINS_HEADER, PROTOCOL_HEADER
from cybercorp.security.credentials import Credential

# httpx imports its own command line (click, rich, pygments) where they are installed: 120 ms instead of 70 ms for
# every `cybercorp` call. None in sys.modules makes that import fail, which httpx expects.
_httpx_command_line_absent = "httpx._main" not in sys.modules
if _httpx_command_line_absent:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
import httpx  # noqa: E402

if _httpx_command_line_absent:
    del sys.modules["httpx._main"]

AnswerT = TypeVar("AnswerT")
MAX_ANSWER_BYTES = 256 * 1024 * 1024
LONGEST_ANSWER_S = 60.0
Prove = Callable[[], Awaitable[StepUp | CeremonyCode | None]]
_IDEMPOTENT = {"GET", "HEAD"}
_STEP_UP, _REFRESH = "/api/v1/account/step-up", "/api/v1/login/refresh"
_CUT = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


async def _give_up() -> None:
    """Nobody is there who could prove who asks."""


class _Body:
    """An answer's bytes as they come: never more than a client can bear, never longer than a person would wait."""

    def __init__(self, url: str, deadline: float) -> None:
        self._url = url
        self._deadline = deadline
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Raises LimitExceededError for an answer without end, UnreachableError for one that drips."""
        self._parts.append(piece)
        self._size += len(piece)
        if self._size > MAX_ANSWER_BYTES:
            raise LimitExceededError(
                f"The answer of {self._url} is larger than {MAX_ANSWER_BYTES >> 20} MiB.",
                hint="Ask for fewer hosts, series or points; check that the address is a CyberCorp server.",
            )
        if time.monotonic() > self._deadline:
            raise UnreachableError(
                f"The answer of {self._url} was not complete after {LONGEST_ANSWER_S:.0f} s.",
                hint="Try again, or ask for less.",
                code="timeout",
            )

    @property
    def whole(self) -> bytes:
        return b"".join(self._parts)


class HttpTransport:
    """Requests to one server with one credential. `blocking` chooses httpx's blocking client: no event loop at all."""

    def __init__(self, credential: Credential, *, timeout_s: float, blocking: bool) -> None:
        self._url = credential.url
        self._timeout_s = timeout_s
        # Reading the CA bundle costs 20 ms; an empty context trusts nobody, which plain HTTP never asks.
        verify = make_context(credential) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._credential = credential
        self.authorization: Authorization = (
            SessionToken(SessionStore(credential.profile), self._renew, blocking=blocking)
            if credential.profile and not credential.token
            else FixedToken(credential.token)
        )
        self.on_step_up: Prove = _give_up
        # A proxy of the environment must not see what is said on loopback.
        trust_env = not is_loopback(credential.url)
        self._options: dict[str, Any] = {
            "base_url": credential.url,
            "headers": REQUEST_HEADERS,
            "timeout": timeout_s,
            "trust_env": trust_env,
        }
        self._made = httpx.Client if blocking else httpx.AsyncClient
        self._client: httpx.Client | httpx.AsyncClient = self._made(verify=verify, **self._options)

    async def call(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        *,
        params: Params = (),
        body: msgspec.Struct | None = None,
        token: str | None = None,
    ) -> AnswerT:
        """Send one request; answers and errors as in `calls.read_answer`, UnreachableError where nobody answers.

        Where it must be proven again who asks, `on_step_up` may do so; then the request is sent once more.
        """
        try:
            return await self._call(method, path, answer, params, body, token)
        except StepUpRequiredError:
            proof = await self.on_step_up() if token is None else None
            if proof is None:
                raise
        path_of_proof = _STEP_UP if isinstance(proof, StepUp) else STEP_UP_FINISH
        await self._call("POST", path_of_proof, Account, (), proof, None)
        return await self._call(method, path, answer, params, body, token)

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        params: Params,
        body: msgspec.Struct | None,
        token: str | None,
    ) -> AnswerT:
        if token is not None:
            return await self._ask(method, path, answer, params, body, token)
        shown = await self.authorization.token()
        try:
            return await self._ask(method, path, answer, params, body, shown)
        except UnauthenticatedError as error:  # a password or code that is wrong says so with a code of its own
            if error.error_code != UnauthenticatedError.code or not self.authorization.refused(shown):
                raise
        return await self._ask(method, path, answer, params, body, await self.authorization.token())

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        params: Params,
        body: msgspec.Struct | None,
        token: str,
    ) -> AnswerT:
        sent = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if sent is not None else {}
        headers |= _bearer(token)
        try:
            options: dict[str, Any] = {"params": present(params), "content": sent, "headers": headers}
            try:
                response, content = await self._send(self._client.build_request(method, path, **options))
            except httpx.ConnectError as error:  # nothing was sent
                if not is_verification(error) or not self._credential.pins:
                    raise
                await self._look_for_backup()
                response, content = await self._send(self._client.build_request(method, path, **options))
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"The address {self._url} cannot be used: {error}.", hint="Correct it.") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._learn(response)
        return read_answer(response.status_code, response.headers, content, answer, url=self._url)

    async def download(self, path: str, take: Callable[[bytes], None], *, params: Params = ()) -> None:
        """Hand the body of a GET over piece by piece, as long as it takes; `take` may raise to end it.

        Raises as `call` does. Where the server breaks off, the body simply ends: check that it is whole.
        """
        try:
            answer = await self._begin(path, params)
            if isinstance(self._client, httpx.Client):
                with contextlib.closing(answer) as response:
                    self._check_download(response, b"" if response.status_code < 400 else response.read())
                    for piece in response.iter_bytes():
                        take(piece)
                return
            try:
                self._check_download(answer, b"" if answer.status_code < 400 else await answer.aread())
                async for piece in answer.aiter_bytes():
                    take(piece)
            finally:
                await answer.aclose()
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"The address {self._url} cannot be used: {error}.", hint="Correct it.") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def stream(self, path: str, *, params: Params = ()) -> AsyncGenerator[bytes, None]:
        """The body of a GET piece by piece, as it is asked for; closing the generator ends the request.

        Raises as `call` does, and UnreachableError (`cut`) where the server breaks off.
        """
        begun = False
        try:
            answer = await self._begin(path, params)
            if isinstance(self._client, httpx.Client):
                with contextlib.closing(answer) as response:
                    self._check_download(response, b"" if response.status_code < 400 else response.read())
                    for piece in response.iter_bytes():
                        begun = True
                        yield piece
                return
            try:
                self._check_download(answer, b"" if answer.status_code < 400 else await answer.aread())
                async for piece in answer.aiter_bytes():
                    begun = True
                    yield piece
            finally:
                await answer.aclose()
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"The address {self._url} cannot be used: {error}.", hint="Correct it.") from error
        except httpx.HTTPError as error:
            if begun and isinstance(error, _CUT):
                raise UnreachableError(
                    f"The server at {self._url} broke its answer off.",
                    hint="Try again; if it happens again, read its log.",
                    code="cut",
                ) from error
            raise self._unreachable(error) from error

    async def _begin(self, path: str, params: Params) -> httpx.Response:
        """The answer to a GET, its body still to be read."""
        headers = _bearer(await self.authorization.token())
        options: dict[str, Any] = {"params": present(params), "headers": headers}
        try:
            return await self._open(self._client.build_request("GET", path, **options))
        except httpx.ConnectError as error:  # nothing was sent
            if not is_verification(error) or not self._credential.pins:
                raise
        await self._look_for_backup()
        return await self._open(self._client.build_request("GET", path, **options))

    async def _open(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self._client, httpx.Client):
            return self._client.send(request, stream=True)
        return await self._client.send(request, stream=True)

    def _learn(self, response: httpx.Response) -> None:
        """By which keys the server is known from now on, where it says so over a connection that was verified."""
        told = response.headers.get(PINS_HEADER.lower())
        if told and self._credential.pins and not response.history:
            self._credential = learn_pins(self._credential, told.split())

    async def _look_for_backup(self) -> None:
        """The authority may have been rotated: trust the one that is pinned now. Raises UntrustedServerError."""
        self._credential = trust_backup(self._credential)
        verify = make_context(self._credential)
        assert verify is not None
        await self.close()
        self._client = self._made(verify=verify, **self._options)

    async def _renew(self, refresh_token: str) -> Tokens:
        tokens = await self._call("POST", _REFRESH, Tokens, (), Refresh(refresh_token=refresh_token), "")
        self._credential = learn_pins(self._credential, tokens.pins, tokens.authorities)
        return tokens

    def _check_download(self, response: httpx.Response, body: bytes) -> None:
        self._learn(response)
        check_protocol(response.headers.get(PROTOCOL_HEADER.lower()), self._url)
        if response.status_code >= 400:
            raise read_problem(response.status_code, response.headers, body)

    async def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        try:
            return await self._send_once(request)
        except _CUT:
            # A kept-alive connection that the server closed in the meantime: one more try, where it can do no harm.
            if request.method not in _IDEMPOTENT:
                raise
            return await self._send_once(request)

    async def _send_once(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        if self._client.is_closed:
            raise UnreachableError("This client is closed.", hint="Make another one.", code="client_closed")
        body = _Body(self._url, time.monotonic() + LONGEST_ANSWER_S)
        if isinstance(self._client, httpx.Client):
            with contextlib.closing(self._client.send(request, stream=True)) as response:
                for piece in response.iter_bytes():
                    body.add(piece)
            return response, body.whole
        response = await self._client.send(request, stream=True)
        try:
            async for piece in response.aiter_bytes():
                body.add(piece)
        finally:
            await response.aclose()
        return response, body.whole

    def _unreachable(self, error: httpx.HTTPError) -> CyberCorpError:
        if isinstance(error, httpx.TimeoutException):
            return UnreachableError(
                f"The server at {self._url} did not answer within {self._timeout_s:g} s.",
                hint="Try again; if it stays silent, read its log.",
                code="timeout",
            )
        if is_verification(error):
            return untrusted_certificate(self._credential)
        return unreachable(self._url, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self._client, httpx.Client):
            self._client.close()
        else:
            await self._client.aclose()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
