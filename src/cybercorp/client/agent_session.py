"""What an agent and a server say, without a socket: bytes in, bytes and events out.

Hello, welcome, the catalogues that the records need, records in order in a small window, acknowledge or refuse, watch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from cybercorp.protocol.agents import Acknowledge, Confirm, Hello, Record, Records, RecordType, Refuse, Watch, Welcome
from cybercorp.protocol.problems import Problem, error_of
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec, Direction

MAX_IN_FLIGHT = 4
UNKNOWN_CATALOGUE = "unknown_catalogue"

ServerMessage = Welcome | Acknowledge | Refuse | Watch | Problem


class AgentSession:
    """One connection's conversation. `sent_seq` and `acked_seq` are numbers of the stream that `hello` named.

    `find_catalogue` gives the encoded AnnounceCatalogue of an id, None where it is lost.
    """

    def __init__(
        self,
        find_catalogue: Callable[[str], bytes | None],
        replace_lost: Callable[[Record], Record],
        codec: Codec | None = None,
    ) -> None:
        self._codec = codec or Codec()
        self._find_catalogue = find_catalogue
        self._replace_lost = replace_lost
        self._announced: set[str] = set()
        self._in_flight: deque[int] = deque()
        self.welcome: Welcome | None = None
        self.watch = Watch()
        self.sent_seq = 0
        self.acked_seq = 0

    @property
    def may_send(self) -> bool:
        """Whether the server has said welcome and the window has room."""
        return self.welcome is not None and len(self._in_flight) < MAX_IN_FLIGHT

    def hello(self, hello: Hello) -> bytes:
        """The first message."""
        return self._codec.encode("agent.hello", hello)

    def confirm(self, generation: int) -> bytes:
        """The generation of the agent's key is kept."""
        return self._codec.encode("agent.confirm", Confirm(generation=generation))

    def records(self, records: Sequence[Record]) -> list[bytes]:
        """The messages that carry these records, with the catalogues that the server does not know yet before them.

        Samples whose catalogue is lost can be read by nobody: `replace_lost` says what to send in their place.
        """
        messages: list[bytes] = []
        readable: list[Record] = []
        for record in records:
            one = record
            if one.type == RecordType.SAMPLES and one.catalogue not in self._announced:
                body = self._find_catalogue(one.catalogue)
                if body is None:
                    one = self._replace_lost(one)
                else:
                    self._announced.add(one.catalogue)
                    messages.append(self._codec.encode("agent.catalogue", msgspec.Raw(body)))
            readable.append(one)
        messages.append(self._codec.encode("agent.records", Records(records=readable)))
        self.sent_seq = records[-1].seq
        self._in_flight.append(self.sent_seq)
        return messages

    def processes(self, table: ProcessTable) -> bytes:
        """A live process table for those who watch."""
        return self._codec.encode("agent.processes", table)

    def receive(self, data: bytes | str) -> ServerMessage:
        """Read one message and follow it. Raises MalformedMessageError, VersionMismatchError, a Problem's own error.

        A problem `unknown_catalogue` is no error: what is not acknowledged is announced and sent again.
        """
        payload: ServerMessage = self._codec.decode(data, Direction.SERVER_TO_AGENT, Direction.SERVER_TO_ANY).payload
        match payload:
            case Welcome():
                self.welcome = payload
                self.sent_seq = self.acked_seq = payload.acked_seq
            case Acknowledge():
                self.acked_seq = max(self.acked_seq, min(payload.seq, self.sent_seq))
                while self._in_flight and self._in_flight[0] <= self.acked_seq:
                    self._in_flight.popleft()
            case Refuse():
                self._rewind(self.acked_seq)  # what was stored but not acknowledged is recognised when it comes again
            case Watch():
                self.watch = payload
            case Problem() if payload.code == UNKNOWN_CATALOGUE:
                self._announced.clear()
                self._rewind(self.acked_seq)
            case Problem():
                raise error_of(payload)
        return payload

    def _rewind(self, seq: int) -> None:
        self._in_flight.clear()
        self.sent_seq = seq
