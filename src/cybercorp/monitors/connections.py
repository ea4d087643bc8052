"""TCP connections and retransmissions of this network namespace, IPv4 and IPv6 together, read every 5 s.

From the counters in /proc/net/snmp and /proc/net/sockstat: the tables of sockets themselves are too dear to walk.
"""

from __future__ import annotations

from array import array

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import NAN, counter, gauge
from cybercorp.protocol.metrics import Series

SERIES = (
    gauge("system.network.connections", "{connection}", protocol="tcp", state="established"),
    gauge("system.network.connections", "{connection}", protocol="tcp", state="time_wait"),
    counter("system.network.tcp.retransmissions", "{segment}"),
    counter("system.network.tcp.opened", "{connection}", direction="active"),
    counter("system.network.tcp.opened", "{connection}", direction="passive"),
)
_SNMP = (b"CurrEstab", b"RetransSegs", b"ActiveOpens", b"PassiveOpens")


def parse_snmp(text: bytes, protocol: bytes, names: tuple[bytes, ...]) -> list[float]:
    """Named values of a protocol from /proc/net/snmp, whose lines come in pairs of names and numbers; NaN if absent."""
    mark = protocol + b": "
    lines = [line.split() for line in text.split(b"\n") if line.startswith(mark)]
    found = dict(zip(lines[0], lines[1], strict=False)) if len(lines) >= 2 else {}
    return [float(found[name]) if name in found else NAN for name in names]


def parse_time_wait(text: bytes) -> float:
    """The number of TCP sockets in TIME_WAIT from /proc/net/sockstat; NaN where it does not tell."""
    for line in text.split(b"\n"):
        fields = line.split()
        if fields and fields[0] == b"TCP:" and b"tw" in fields[:-1]:
            return float(fields[fields.index(b"tw") + 1])
    return NAN


class ConnectionsMonitor:
    name = "connections"
    devices: tuple[str, ...] = ()

    def __init__(self, *, proc: str = "/proc") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._snmp = HeldFile(f"{proc}/net/snmp")
        self._sockstat = HeldFile(f"{proc}/net/sockstat")

    def read(self, values: array[float], start: int, now: float) -> bool:
        if not self.series:
            self.series = SERIES
            return False
        established, retransmitted, active, passive = parse_snmp(self._snmp.read(), b"Tcp", _SNMP)
        waiting = parse_time_wait(self._sockstat.read())
        values[start : start + len(SERIES)] = array("d", (established, waiting, retransmitted, active, passive))
        return True

    def close(self) -> None:
        self._snmp.close()
        self._sockstat.close()
