"""A hostile agent: joins a real server through the real protocol and says the worst in every field it has."""

from __future__ import annotations

import contextlib
import struct
import time

import httpx
import msgspec
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from cybercorp.core.ids import new_id
from cybercorp.protocol.agents import AnnounceCatalogue, Challenge, Hello, Record, Records, RecordType
from cybercorp.protocol.events import AgentEvent, Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import MetricKind, Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.servers import SUBPROTOCOL_MSGPACK
from tests.joined import headers_of, joined, new_key, proof_of

ATTACKS = [
    "\x1b]52;c;UFdORUQ=\x07clip",
    "\x1b]0;PWNED\x07title",
    "\x1b[31;5mPWNRED\x1b[0m",
    "\x1b[2J\x1b[H\x1b[?1000hPWNCLEAR",
    "\x9b31mPWNC1\x9d0;x\x9c",
    "\x1bP+q544e\x1b\\PWNDCS",
    "evil\u202etxt.exe\u2066PWNBIDI\u2069",
    "zero\u200bwidth\ufeffPWN\u00ad",
    "line\nbreak\rreturn\tPWN\u2028sep\x07\x08\x7f",
    "[bold red]markup[/] [link=http://evil]PWN[/link]",
    "=cmd|'/c calc'!A1",
    "stack" + "\u0301" * 400,
    "\U000e0041\U000e0042tags",
]


def table(now_ms: int, huge: int = 0) -> ProcessTable:
    """A process for each attack, and one whose name and command have `huge` characters."""
    names = [*ATTACKS, "\x1b[31m" * (huge // 5)] if huge else list(ATTACKS)
    count = len(names)
    return ProcessTable(
        timestamp_ms=now_ms,
        total=count,
        pid=list(range(100, 100 + count)),
        parent=[1] * count,
        name=names,
        command=[f"/bin/{name} --{name}" for name in names],
        user=names,
        state=["\x1b"] * count,
        cpu=[0.5 + index for index in range(count)],
        cpu_time_s=[1.0] * count,
        rss_bytes=[1 << 20] * count,
        threads=[1] * count,
        read_bytes=[None] * count,
        write_bytes=[None] * count,
        read_rate=[None] * count,
        write_rate=[None] * count,
        started_at_ms=[now_ms - 5000] * count,
    )


class RogueAgent:
    """One host `evil-1` whose every text is an attack. Use as a context manager; `speak` sends a second's worth."""

    def __init__(self, url: str, owner_token: str, name: str = "evil-1") -> None:
        owner = {"Authorization": f"Bearer {owner_token}"}
        enrolment = httpx.post(f"{url}/api/v1/agents/enrolments", json={}, headers=owner).raise_for_status()
        key = new_key()
        answer = httpx.post(
            f"{url}/api/v1/agents/enrol",
            json={"name": name, "public_key": key.public, "facts": msgspec.to_builtins(self.facts())},
            headers={"Authorization": f"Bearer {enrolment.json()['tokens'][0]}"},
        ).raise_for_status()
        self.name, self.joined = name, joined(str(answer.json()["host_id"]), key)
        self.address = url.replace("http://", "ws://") + "/api/v1/agents/connect"
        self.codec, self.seq = Codec(), 0
        attributes = [{"device": attack, "direction": "receive"} for attack in ATTACKS]
        self.series = make_catalogue(
            [
                Series(name="system.cpu.utilization"),
                Series(name="system.memory.utilization", attributes={"state": "used"}),
                *(
                    Series(name="system.network.io", unit="By", kind=MetricKind.COUNTER, attributes=a)
                    for a in attributes
                ),
                *(Series(name="system.filesystem.utilization", attributes={"mountpoint": a}) for a in ATTACKS),
                *(Series(name=f"evil.{attack}"[:250], unit=attack[:20]) for attack in ATTACKS),
            ]
        )
        self.socket: ClientConnection | None = None

    @staticmethod
    def facts() -> HostFacts:
        texts = {
            key: ATTACKS[index % len(ATTACKS)]
            for index, key in enumerate(
                ("hostname", "os_type", "os_description", "kernel", "arch", "model", "cpu_model", "virtualization")
            )
        }
        return HostFacts(**texts, addresses=ATTACKS[:4], agent_version=ATTACKS[0], timezone=ATTACKS[1])  # type: ignore[arg-type]

    def __enter__(self) -> RogueAgent:
        self._opening = connect(
            self.address,
            additional_headers=headers_of(self.joined),
            subprotocols=[Subprotocol(SUBPROTOCOL_MSGPACK)],
            compression=None,
        )
        self.socket = self._opening.__enter__()
        challenge = self.codec.decode(self.socket.recv(10)).payload
        assert isinstance(challenge, Challenge)
        self.socket.send(self.codec.encode("agent.proof", proof_of(self.joined, challenge.nonce)))
        hello = Hello(
            version=ATTACKS[2],
            stream=new_id("s"),
            oldest_seq=0,
            newest_seq=0,
            interval_ms=1000,
            clock_ms=time.time_ns() // 1_000_000,
            facts=self.facts(),
        )
        self.socket.send(self.codec.encode("agent.hello", hello))
        self.socket.send(
            self.codec.encode("agent.catalogue", AnnounceCatalogue(id=self.series.id, series=self.series.series))
        )
        return self

    def speak(self) -> None:
        """A row of samples, the recorded top, an event and a live table, all hostile."""
        assert self.socket is not None
        now_ms = time.time_ns() // 1_000_000
        count = len(self.series.series)
        values = struct.pack(f"<{count}d", 0.99, 0.5, *(float(self.seq * 1000 + i) for i in range(count - 2)))
        event = AgentEvent(kind="monitor.failed", severity=Severity.WARNING, message=" ".join(ATTACKS))
        bodies = [
            (RecordType.SAMPLES, self.series.id, values),
            (RecordType.PROCESSES, "", msgspec.msgpack.encode(table(now_ms))),
            (RecordType.EVENT, "", msgspec.msgpack.encode(event)),
        ]
        records = []
        for kind, catalogue, body in bodies:
            self.seq += 1
            records.append(Record(self.seq, now_ms, kind, catalogue, body))
        self.socket.send(self.codec.encode("agent.records", Records(records=records)))
        self.socket.send(self.codec.encode("agent.processes", table(now_ms, huge=60_000)))
        with contextlib.suppress(TimeoutError):
            while True:  # answers that nobody takes would end the connection
                self.socket.recv(timeout=0)

    def __exit__(self, *_: object) -> None:
        if self.socket is not None:
            self._opening.__exit__(None, None, None)
