"""HTTP by httpx, the one module that imports it: one transport for both façades, blocking or awaited."""

from __future__ import annotations

import ssl
import sys
from typing import TypeVar

import msgspec

from cybercorp.client.addresses import is_loopback, unreachable
from cybercorp.client.calls import REQUEST_HEADERS, Params, present, read_answer
from cybercorp.core.errors import CyberCorpError, InvalidInputError, UnreachableError
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
_IDEMPOTENT = {"GET", "HEAD"}
_CUT = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class HttpTransport:
    """Requests to one server with one credential. `blocking` chooses httpx's blocking client: no event loop at all."""

    def __init__(self, credential: Credential, *, timeout_s: float, blocking: bool) -> None:
        self._url = credential.url
        self._timeout_s = timeout_s
        headers = (
            {**REQUEST_HEADERS, "Authorization": f"Bearer {credential.token}"} if credential.token else REQUEST_HEADERS
        )
        # Reading the CA bundle costs 20 ms; an empty context trusts nobody, which plain HTTP never asks.
        verify = (
            ssl.create_default_context()
            if credential.url.startswith("https:")
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        # A proxy of the environment must not see what is said on loopback.
        trust_env = not is_loopback(credential.url)
        made = httpx.Client if blocking else httpx.AsyncClient
        self._client: httpx.Client | httpx.AsyncClient = made(
            base_url=credential.url, headers=headers, timeout=timeout_s, verify=verify, trust_env=trust_env
        )

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
        """Send one request; answers and errors as in `calls.read_answer`, UnreachableError where nobody answers."""
        content = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            request = self._client.build_request(method, path, params=present(params), content=content, headers=headers)
            response = await self._send(request)
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"The address {self._url} cannot be used: {error}.", hint="Correct it.") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return read_answer(response.status_code, response.headers, response.content, answer, url=self._url)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._send_once(request)
        except _CUT:
            # A kept-alive connection that the server closed in the meantime: one more try, where it can do no harm.
            if request.method not in _IDEMPOTENT:
                raise
            return await self._send_once(request)

    async def _send_once(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self._client, httpx.Client):
            return self._client.send(request)
        return await self._client.send(request)

    def _unreachable(self, error: httpx.HTTPError) -> CyberCorpError:
        if isinstance(error, httpx.TimeoutException):
            return UnreachableError(
                f"The server at {self._url} did not answer within {self._timeout_s:g} s.",
                hint="Try again; if it stays silent, read its log.",
                code="timeout",
            )
        return unreachable(self._url, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self._client, httpx.Client):
            self._client.close()
        else:
            await self._client.aclose()
