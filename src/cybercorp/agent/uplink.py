"""The uplink: keeps a connection to the server and moves the spool through it, driven by the runner's one loop.

Connecting blocks (names, TLS, handshake), so it happens in a short-lived thread; everything else is one thread and one
selector. What was sent stays in the spool until the server says that it is durable.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import threading
from collections.abc import Callable

import msgspec

from cybercorp.agent.log import Log
from cybercorp.agent.spool import Spool
from cybercorp.agent.wake import Wake
from cybercorp.client.agent_connection import AgentConnection
from cybercorp.client.agent_session import AgentSession
from cybercorp.client.backoff import CAP_S, Backoff
from cybercorp.client.failures import is_hopeless
from cybercorp.client.trust import with_authority
from cybercorp.core.clock import Clock
from cybercorp.core.errors import (
    CyberCorpError,
    InternalError,
    UnauthenticatedError,
    UnreachableError,
    UntrustedServerError,
)
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import MAX_RECORDS_BYTES, Acknowledge, Hello, Refuse, Watch, Welcome
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec
from cybercorp.security.credentials import Credential

_WELCOME_S = 10.0
_BATCH_BYTES = MAX_RECORDS_BYTES - 8 * 1024
_CLOCKS_DIFFER_MS = 5_000
_SAME_FAILURE_S = 300.0
_JOIN_AGAIN = " If it stays so, join again: cybercorp enroll, on the server's side, prints the command."

Opener = Callable[[Credential, float], AgentConnection]


def open_connection(credential: Credential, timeout_s: float) -> AgentConnection:
    """Connect for real."""
    try:
        return AgentConnection.open(credential, timeout_s=timeout_s)
    except UntrustedServerError:
        if not credential.pins:
            raise
        # The backup may sign by now: only an authority whose key is pinned is believed, and nothing was sent yet.
        return AgentConnection.open(with_authority(credential), timeout_s=timeout_s)


class Uplink:
    """The agent's side of one connection at a time. One caller; `wake` is rung when a connection attempt is done."""

    def __init__(
        self,
        credential: Credential,
        spool: Spool,
        selector: selectors.BaseSelector,
        wake: Wake,
        clock: Clock,
        log: Log,
        *,
        interval_ms: int,
        read_facts: Callable[[], HostFacts],
        backoff: Backoff | None = None,
        timeout_s: float = 10.0,
        opener: Opener = open_connection,
    ) -> None:
        self._credential = credential
        self.on_trust: Callable[[Credential], None] = lambda credential: None
        self._spool = spool
        self._selector = selector
        self._wake = wake
        self._clock = clock
        self._log = log
        self._interval_ms = interval_ms
        self._read_facts = read_facts
        self._backoff = backoff or Backoff()
        self._timeout_s = timeout_s
        self._opener = opener
        self._codec = Codec()
        self._opened: queue.SimpleQueue[AgentConnection | CyberCorpError] = queue.SimpleQueue()
        self._connecting = False
        self._closed = False
        self._connection: AgentConnection | None = None
        self._session: AgentSession | None = None
        self._generation = 0
        self._opened_at = 0.0
        self._retry_at = 0.0
        self._hold_until = 0.0
        self._writing = False
        self._failure = ""
        self.unauthenticated: UnauthenticatedError | None = None

    @property
    def connected(self) -> bool:
        """Whether the server has said welcome."""
        return self._session is not None and self._session.welcome is not None

    @property
    def sent_seq(self) -> int:
        """The newest record that is on its way."""
        return self._session.sent_seq if self._session is not None else 0

    @property
    def watch_interval_ms(self) -> int:
        """How often somebody wants the whole process table; 0: nobody watches."""
        return self._session.watch.processes_interval_ms if self._session is not None and self.connected else 0

    def wait_s(self) -> float:
        """Seconds until `poll` has something to do that no socket announces."""
        now = self._clock.monotonic()
        if self._connection is None:
            return 3600.0 if self._connecting else max(0.0, self._retry_at - now)
        return max(0.0, self._hold_until - now) if self._hold_until > now else 3600.0

    def poll(self) -> None:
        """Start what is due: take over a finished attempt, begin one, send what waits, look for signs of life."""
        now = self._clock.monotonic()
        while not self._opened.empty():
            self._take_over(self._opened.get(), now)
        if self._connection is None:
            if not self._connecting and now >= self._retry_at:
                self._connect()
            return
        try:
            if not self.connected and now - self._opened_at > _WELCOME_S:
                raise UnreachableError(f"The server at {self._credential.url} does not say welcome.")
            self._connection.heartbeat(now)
            self._pump(now)
        except Exception as error:  # noqa: BLE001 - the uplink's supervisor: see `_as_failure`
            self._failed(_as_failure(error), now)

    def on_ready(self, *, readable: bool, writable: bool) -> None:
        """The selector says that the socket can be read or written."""
        now = self._clock.monotonic()
        try:
            if writable and self._connection is not None:
                self._connection.flush()
            if readable and self._connection is not None:
                self._receive(self._connection, now)
            self._pump(now)
        except Exception as error:  # noqa: BLE001 - the uplink's supervisor: see `_as_failure`
            self._failed(_as_failure(error), now)

    def send_processes(self, table: ProcessTable) -> bool:
        """Send a live table; False where nobody can get it now. A table that waits in the socket is not overtaken."""
        connection, session = self._connection, self._session
        if connection is None or session is None or not self.connected or connection.wants_write:
            return False
        try:
            connection.send(session.processes(table))
            self._watch_writes()
        except CyberCorpError as error:
            self._failed(error, self._clock.monotonic())
        return True

    def close(self) -> None:
        """Say goodbye."""
        self._closed = True
        self._drop()
        self._close_late()

    def _close_late(self) -> None:
        """Close connections that were opened after nobody wanted them any more."""
        while not self._opened.empty():
            with contextlib.suppress(queue.Empty):
                late = self._opened.get_nowait()
                if isinstance(late, AgentConnection):
                    late.close()

    # -- connecting --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._connecting = True
        threading.Thread(target=self._open, name="cybercorp agent connect", daemon=True).start()

    def _open(self) -> None:
        outcome: AgentConnection | CyberCorpError
        try:
            outcome = self._opener(self._credential, self._timeout_s)
        except Exception as error:  # noqa: BLE001 - the uplink's supervisor: see `_as_failure`
            outcome = _as_failure(error)
        self._opened.put(outcome)
        if self._closed:
            self._close_late()
        self._wake.ring()

    def _take_over(self, outcome: AgentConnection | CyberCorpError, now: float) -> None:
        self._connecting = False
        self._opened_at = now
        if isinstance(outcome, CyberCorpError):
            self._failed(outcome, now)
            return
        spool = self._spool
        self._connection = outcome
        self._session = AgentSession(spool.catalogue, lambda record: spool.lost(record, "catalogue_lost"), self._codec)
        self._generation = spool.generation
        self._hold_until = 0.0
        self._writing = False
        self._selector.register(outcome, selectors.EVENT_READ, self)
        hello = Hello(
            version=VERSION,
            stream=spool.stream,
            oldest_seq=spool.oldest_seq,
            newest_seq=spool.newest_seq,
            interval_ms=self._interval_ms,
            clock_ms=self._clock.now_ms(),
            facts=self._read_facts(),
        )
        try:
            outcome.send(self._session.hello(hello))
            self._watch_writes()
        except CyberCorpError as error:
            self._failed(error, now)

    def _failed(self, error: CyberCorpError, now: float) -> None:
        lasted_s = now - self._opened_at if self.connected else 0.0
        self._drop()
        wait_s = self._backoff.failed(lasted_s=lasted_s, hopeless=is_hopeless(error))
        self._retry_at = now + wait_s
        if isinstance(error, UnauthenticatedError):
            self.unauthenticated = error
        if self._failure != error.error_code:
            self._failure = error.error_code
            self._log.forget("uplink")
        advice = _JOIN_AGAIN if isinstance(error, UnauthenticatedError) else ""
        text = f"{error}{advice} Trying again in at most {CAP_S:g} s; nothing is lost meanwhile."
        self._log.limited("uplink", text, _SAME_FAILURE_S)

    def _drop(self) -> None:
        connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            self._selector.unregister(connection)
            connection.close()

    # -- talking -----------------------------------------------------------------------------------------------------

    def _receive(self, connection: AgentConnection, now: float) -> None:
        messages = connection.receive(now)
        for data in messages:
            session = self._session
            if session is None:
                return
            match session.receive(data):
                case Welcome() as welcome:
                    self._welcomed(welcome, now)
                case Acknowledge():
                    self._backoff.succeeded()
                    self._spool.acknowledge(session.acked_seq)
                case Refuse() as refuse:
                    self._hold_until = now + min(max(refuse.retry_after_s, 0.1), CAP_S)
                    self._log.limited("refused", f"The server cannot store now: {refuse.detail} It is sent again.")
                case Watch():
                    self._wake.ring()
                case _:
                    pass  # a problem that the session has dealt with
        if connection.ended:
            connection.receive(now)  # raises why

    def _trust(self, welcome: Welcome) -> None:
        """A verified server says by which keys it will be known, and hands our own key on: kept, then confirmed."""
        known = self._credential
        if welcome.pins and known.pins:
            known = msgspec.structs.replace(known, pins=tuple(welcome.pins), authority=welcome.authorities)
        if welcome.generation and known.generation:
            known = msgspec.structs.replace(known, generation=welcome.generation, mark=welcome.mark)
        try:
            if known != self._credential:
                self.on_trust(known)
        except CyberCorpError as error:  # on a full disk we go on with the generation that is kept, and confirm nothing
            self._log.limited("credential", str(error))
            return
        self._credential = known
        if welcome.generation and self._connection is not None and self._session is not None:
            self._connection.send(self._session.confirm(welcome.generation))

    def _welcomed(self, welcome: Welcome, now: float) -> None:
        self._failure = ""
        self.unauthenticated = None
        spool = self._spool
        if welcome.acked_seq >= spool.next_seq:
            # Our newest rows were lost with the power and their numbers given out again: a new stream tells them apart.
            self._log.line("The server knows more of this stream than the spool does; a new stream begins.")
            spool.restart_stream()
            self._retry_at = now
            self._drop()
            return
        if welcome.acked_seq > spool.acked_seq:
            self._backoff.succeeded()  # the last connection was of use, only its acknowledgement was lost
        spool.acknowledge(welcome.acked_seq)
        self._trust(welcome)
        waiting = max(0, spool.newest_seq - welcome.acked_seq) if spool.newest_seq else 0
        other = "" if welcome.version == VERSION else f" (version {welcome.version})"
        self._log.line(f"Connected to {self._credential.url}{other} as {welcome.name}; {waiting} records waited.")
        off_ms = self._clock.now_ms() - welcome.clock_ms
        if abs(off_ms) > _CLOCKS_DIFFER_MS:
            self._log.line(f"This machine's clock and the server's differ by {off_ms / 1000:.0f} s.")

    def _pump(self, now: float) -> None:
        """Send batches while the window has room and the socket takes them."""
        connection, session = self._connection, self._session
        if connection is None or session is None or not self.connected:
            return
        if self._generation != self._spool.generation:
            self._drop()
            self._retry_at = now
            return
        while session.may_send and now >= self._hold_until and not connection.wants_write:
            if session.sent_seq >= self._spool.newest_seq:
                break
            records = self._spool.read_after(session.sent_seq, _BATCH_BYTES)
            if not records:
                break
            for message in session.records(records):
                connection.send(message)
        self._watch_writes()

    def _watch_writes(self) -> None:
        connection = self._connection
        if connection is not None and connection.wants_write is not self._writing:
            self._writing = connection.wants_write
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._writing else 0)
            self._selector.modify(connection, events, self)


def _as_failure(error: Exception) -> CyberCorpError:
    """A bug while talking to the server ends that connection and is logged; it must not end the agent."""
    if isinstance(error, CyberCorpError):
        return error
    return InternalError(f"The connection failed by a bug: {type(error).__name__}: {error}.")
