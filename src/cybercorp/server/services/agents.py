"""Connected agents: one link a host, what it announced, what is durable, and what it is asked to collect."""

from __future__ import annotations

from collections.abc import Callable

from cybercorp.core.errors import ConflictError
from cybercorp.protocol.agents import Acknowledge, Refuse, Watch
from cybercorp.protocol.metrics import Catalogue
from cybercorp.protocol.registry import Codec
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.outbox import Outbox

SILENT_AFTER_S = 10.0
_COMPLAIN_EVERY_S = 60.0


def cannot_send(message: bytes) -> bool:
    """Where there is no way to send at once, a message waits in the outbox."""
    return False


class AgentLink:
    """The server's end of one agent's connection."""

    def __init__(self, host: LiveHost, stream: str, acked_seq: int, codec: Codec, *, now: float) -> None:
        self.host = host
        self.stream = stream
        self.acked_seq = acked_seq
        self.catalogues: dict[str, Catalogue] = {}
        self.catalogue = ""  # the one of the last samples
        self.outbox = Outbox()
        self.heard_at = now
        self.generation = 0  # of the agent's key, handed out with the welcome, and its mark
        self.mark = ""
        self.close_code = 0
        self.close_reason = ""
        self.on_close: Callable[[], None] = lambda: None
        self.send_now: Callable[[bytes], bool] = cannot_send
        self._codec = codec
        self._rewound_to: int | None = None

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is durable."""
        if seq > self.acked_seq:
            self.acked_seq = seq
            data = self._codec.encode("agent.acknowledge", Acknowledge(seq=seq))
            if not self.outbox.is_empty or not self.send_now(data):
                self.outbox.put_state("ack", data)

    def refuse(self, refuse: Refuse) -> None:
        """Nothing after `refuse.seq` could be stored."""
        self.outbox.put_state("refuse", self._codec.encode("agent.refuse", refuse))

    def watch(self, watch: Watch) -> None:
        """What somebody looks at from now on."""
        self.outbox.put_state("watch", self._codec.encode("agent.watch", watch))

    def is_silent(self, now: float, after_s: float) -> bool:
        """Whether nothing was heard for that long, or for three intervals where that is longer."""
        return now - self.heard_at >= max(after_s, 0.003 * self.host.row.interval_ms)

    def rewind_to(self, seq: int) -> None:
        """Record `seq` could not be taken: what follows it is not taken either until it comes again."""
        self._rewound_to = seq

    def follows(self, seq: int) -> bool:
        """Whether records that begin with `seq` may be taken: nothing that was not taken may be skipped."""
        if self._rewound_to is not None:
            if seq > self._rewound_to:
                return False
            self._rewound_to = None
        return True

    def may_complain(self, what: str, now: float) -> bool:
        """Whether an event about `what` is due: at most one a minute and host, over all its connections."""
        last = self.host.complained.get(what)
        if last is not None and now - last < _COMPLAIN_EVERY_S:
            return False
        self.host.complained[what] = now
        return True

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        if not self.close_code:
            self.close_code, self.close_reason = code, reason
            self.on_close()


class AgentRegistry:
    """The links by host."""

    def __init__(self) -> None:
        self._links: dict[int, AgentLink] = {}
        self.on_connected: Callable[[AgentLink], None] = lambda link: None

    def __len__(self) -> int:
        return len(self._links)

    def find(self, host_key: int) -> AgentLink | None:
        return self._links.get(host_key)

    def connect(self, link: AgentLink, *, now: float) -> None:
        """Register a link. Raises ConflictError while another agent of the host is connected and not silent."""
        other = self._links.get(link.host.key)
        if other is not None and not other.close_code and not other.is_silent(now, SILENT_AFTER_S):
            raise ConflictError(
                f"An agent of host {link.host.name} is connected already.",
                hint="Two agents share one credential: stop one, or join the other under a name of its own (--name).",
                code="agent_already_connected",
            )
        if other is not None:
            other.close(1008, "agent_already_connected: a newer connection took over")
        self._links[link.host.key] = link
        link.host.connected = True
        self.on_connected(link)

    def disconnect(self, link: AgentLink) -> bool:
        """Forget a link; False where a newer one of the same host stays."""
        if self._links.get(link.host.key) is not link:
            return False
        del self._links[link.host.key]
        link.host.connected = False
        return True
