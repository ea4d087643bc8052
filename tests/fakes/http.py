"""A fake HTTP server on a real socket: it gives the answers it was told to give and keeps every request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from cybercorp.client.calls import MSGPACK_MEDIA_TYPE
from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX, Problem
from cybercorp.protocol.servers import PROTOCOL_HEADER


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What to answer. Without a body of bytes the value is sent as MessagePack."""

    value: Any = None
    status: int = 200
    media_type: str = MSGPACK_MEDIA_TYPE
    protocol: str | None = "1"
    body: bytes | None = None
    hang_up: bool = False


def problem(status: int, code: str, detail: str = "It failed.", hint: str = "Mend it.") -> Answer:
    """A problem as the server sends it."""
    told = Problem(type=f"{TYPE_PREFIX}{code}", title=code, status=status, code=code, detail=detail, hint=hint)
    return Answer(body=msgspec.json.encode(told), status=status, media_type=PROBLEM_MEDIA_TYPE)


class FakeHttp:
    """`with FakeHttp(answer) as server:` where `answer` makes the answer to a request."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, parts.path, parse_qsl(parts.query), headers, self.rfile.read(length))
                fake.asked.append(asked)
                told = answer(asked)
                if told.hang_up:
                    self.close_connection = True
                    return
                body = msgspec.msgpack.encode(told.value) if told.body is None else told.body
                self.send_response(told.status)
                if told.protocol is not None:
                    self.send_header(PROTOCOL_HEADER, told.protocol)
                self.send_header("Content-Type", told.media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - names of http.server

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
