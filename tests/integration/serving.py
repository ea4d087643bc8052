"""A real server in a thread of its own on loopback, and peers that speak the real protocol to it."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

import cybercorp.server.main as server_main
from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.ids import new_id
from cybercorp.protocol.agents import AnnounceCatalogue, Challenge, Hello, Record, Records, RecordType, Welcome
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import Codec, Format, Message
from cybercorp.protocol.servers import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from cybercorp.security.agent_keys import AgentKey
from cybercorp.security.vault import Vault
from cybercorp.server.settings import ServerSettings
from cybercorp.server.wiring import Services, make_services
from cybercorp.store.records.database import Records as RecordTables
from cybercorp.store.timeseries.engine import TimeSeries
from tests.joined import headers_of, joined, new_key, proof_of
from tests.stack import is_ready, wait_until

DEADLINE_S = 15.0
PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")
SMALL = make_catalogue(
    [
        Series(name="system.cpu.utilization"),
        Series(name="system.memory.utilization", attributes={"state": "used"}),
        Series(name="system.filesystem.utilization", attributes={"mountpoint": "/"}),
        Series(name="system.cpu.load_average.1m", unit="{thread}"),
        *(
            Series(
                name="system.network.io",
                unit="By",
                kind=MetricKind.COUNTER,
                attributes={"device": "eth0", "direction": direction},
            )
            for direction in ("receive", "transmit")
        ),
    ]
)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def row(cpu: float = 0.25, catalogue: Catalogue = SMALL) -> bytes:
    """A row of samples for SMALL, or of this one number for every series of another catalogue."""
    values = [cpu, 0.5, 0.75, 1.0, 1000.0, 2000.0] if catalogue is SMALL else [cpu] * len(catalogue.series)
    return struct.pack(f"<{len(values)}d", *values)


class ShiftedClock(SystemClock):
    """This machine's clocks, shifted by as many seconds as a test says."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + round(self.shift_s * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.shift_s


class ServerThread:
    """`with ServerThread(folder) as server:` is ready on a free port; `services` are its insides."""

    def __init__(self, folder: Path, clock: Clock | None = None, **settings: Any) -> None:
        self.folder = folder
        self.settings = ServerSettings(data_dir=str(folder), port=0, commit_interval_ms=20, **settings)
        self._clock = clock or SystemClock()
        self._listener = server_main.listen("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self.services: Services
        self.error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        secure = self.settings.tls or self.settings.tls_certificate
        return f"{'https' if secure else 'http'}://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return str(json.loads((self.folder / "owner.json").read_text())["token"])

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: not self._thread.is_alive() or is_ready(self.url), "the server is ready")
        if self.error is not None:
            raise self.error
        self.http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=DEADLINE_S,
            trust_env=False,
            verify=False,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.stop()

    def stop(self) -> None:
        """Stop as SIGTERM does, and wait."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"

    def _run(self) -> None:
        with pytest.MonkeyPatch.context() as patch:

            def keep(
                settings: ServerSettings, clock: Clock, records: RecordTables, store: TimeSeries, vault: Vault
            ) -> Services:
                self.services = make_services(settings, clock, records, store, vault)
                return self.services

            patch.setattr(server_main, "make_services", keep)
            try:
                self._loop.run_until_complete(
                    server_main.serve(self.settings, self._listener, self._clock, stop=self._stop)
                )
            except BaseException as error:
                self.error = error
            finally:
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
                self._loop.close()
                self._listener.close()

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """The result of something that runs in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer that must be good."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def enrolment(self, **asked: Any) -> str:
        """An enrolment token."""
        answer = self.http.post("/api/v1/agents/enrolments", json=asked)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["tokens"][0])

    def enrol(self, name: str, token: str | None = None) -> httpx.Response:
        """Join a host of this name."""
        return self._enrol(name, token or self.enrolment(), new_key())

    def _enrol(self, name: str, token: str, key: AgentKey) -> httpx.Response:
        headers, body = {"Authorization": f"Bearer {token}"}, {"name": name, "public_key": key.public}
        return httpx.post(f"{self.url}/api/v1/agents/enrol", headers=headers, json=body, trust_env=False, verify=False)

    def join(self, name: str, token: str | None = None) -> str:
        """A new host and its key, for `AgentPeer` (see `tests.joined`)."""
        key = new_key()
        answer = self._enrol(name, token or self.enrolment(), key)
        assert answer.status_code == 201, answer.text
        return joined(str(answer.json()["host_id"]), key)

    def agent(self, name: str, token: str | None = None, **hello: Any) -> AgentPeer:
        """A connected agent that has been welcomed; joins first where no token is given."""
        peer = AgentPeer(self.url, token or self.join(name))
        peer.greet(**hello)
        return peer

    def viewer(self, form: Format = "msgpack") -> Peer:
        """A connected viewer."""
        return Peer(self.url, "/api/v1/live", self.token, form)

    def events(self, *kinds: str, host: str | None = None) -> list[dict[str, Any]]:
        """The events of these kinds so far, oldest first."""
        asked: dict[str, Any] = {"kind": list(kinds), "limit": 1000}
        page = self.get("/api/v1/events", **asked, **({"host": host} if host else {}))
        return list(page["events"])

    def wait_for_event(self, kind: str, host: str | None = None, count: int = 1) -> list[dict[str, Any]]:
        """The events of a kind, as soon as there are `count`."""

        def enough() -> list[dict[str, Any]] | None:
            found = self.events(kind, host=host)
            return found if len(found) >= count else None

        return wait_until(enough, f"{count} × {kind}", DEADLINE_S) or []


class Peer:
    """One WebSocket connection that speaks the protocol."""

    def __init__(self, url: str, path: str, token: str | None, form: Format = "msgpack", **options: Any) -> None:
        self.codec = Codec(form)
        subprotocol = SUBPROTOCOL_MSGPACK if form == "msgpack" else SUBPROTOCOL_JSON
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        settings: dict[str, Any] = {
            "additional_headers": headers,
            "subprotocols": [Subprotocol(subprotocol)],
            "compression": None,
            "max_size": 2**22,
            "close_timeout": 2,
            "proxy": None,
            "legacy": True,
            **options,
        }
        self.socket = connect(url.replace("http", "ws", 1) + path, **settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, kind: str, payload: Any) -> None:
        data = self.codec.encode(kind, payload)
        self.socket.send(data.decode() if self.codec.format == "json" else data)

    def receive(self, timeout_s: float = DEADLINE_S) -> Message:
        """The next message. Raises TimeoutError and ConnectionClosed."""
        return self.codec.decode(self.socket.recv(timeout_s))

    def expect(self, kind: type[PayloadT], timeout_s: float = DEADLINE_S) -> PayloadT:
        """The next payload of this class; others are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            payload = self.receive(max(0.01, deadline - time.monotonic())).payload
            if isinstance(payload, kind):
                return payload

    def wait_closed(self, timeout_s: float = DEADLINE_S) -> tuple[int, str, list[Message]]:
        """The code and the reason that the server closes with, and what it said before."""
        heard: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                heard.append(self.receive(max(0.01, deadline - time.monotonic())))
            except ConnectionClosed as closed:
                return (closed.rcvd.code, closed.rcvd.reason, heard) if closed.rcvd else (1006, "", heard)


class AgentPeer(Peer):
    """An agent's connection; `stream` and `seq` go on over several connections when they are handed over."""

    def __init__(self, url: str, token: str, form: Format = "msgpack", **options: Any) -> None:
        super().__init__(url, "/api/v1/agents/connect", None, form, headers=headers_of(token), **options)
        self.send("agent.proof", proof_of(token, self.expect(Challenge).nonce))
        self.token = token
        self.stream = new_id("s")
        self.seq = 0
        self._last_ms = 0

    def greet(self, **fields: Any) -> Welcome:
        """Say hello and hear welcome."""
        facts = fields.pop("facts", HostFacts(hostname="h", cpu_count=2))
        hello = {
            "version": "1",
            "stream": self.stream,
            "oldest_seq": 0,
            "newest_seq": 0,
            "interval_ms": 1000,
            "clock_ms": now_ms(),
            "facts": facts,
            **fields,
        }
        self.stream = str(hello["stream"])
        self.send("agent.hello", Hello(**hello))
        return self.expect(Welcome)

    def announce(self, catalogue: Catalogue = SMALL) -> None:
        self.send("agent.catalogue", AnnounceCatalogue(id=catalogue.id, series=catalogue.series))

    def samples(
        self,
        *cpu: float,
        catalogue: Catalogue = SMALL,
        at_ms: int | None = None,
        seq: int | None = None,
    ) -> int:
        """Send one message with a row for each number, a millisecond apart up to `at_ms`; returns the last number."""
        first = self.seq + 1 if seq is None else seq
        end_ms = max(now_ms(), self._last_ms + len(cpu)) if at_ms is None else at_ms
        self._last_ms = end_ms if at_ms is None else self._last_ms
        records = [
            Record(
                first + i, end_ms - len(cpu) + 1 + i, RecordType.SAMPLES, catalogue.id, row(one, catalogue=catalogue)
            )
            for i, one in enumerate(cpu)
        ]
        self.send_records(records)
        return records[-1].seq

    def send_records(self, records: Sequence[Record]) -> None:
        self.send("agent.records", Records(records=list(records)))
        self.seq = max(self.seq, *(one.seq for one in records))


def problem(answer: httpx.Response) -> Problem:
    """The problem of an answer, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found = msgspec.json.decode(answer.content, type=Problem)
    assert found.status == answer.status_code
    assert found.type.startswith("urn:cybercorp:problem:")
    assert found.detail
    return found
