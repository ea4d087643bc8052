"""Connection counters."""

import math
from collections.abc import Callable
from pathlib import Path

from cybercorp.monitors.connections import ConnectionsMonitor, parse_snmp, parse_time_wait


def test_the_recorded_machine(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """Established connections are a gauge of the kernel's, not a walk over its sockets."""
    (proc / "net/snmp").write_bytes(
        b"Tcp: ActiveOpens PassiveOpens CurrEstab RetransSegs New\nTcp: 11 12 13 14 -1\nUdp: X\nUdp: 1\n"
    )
    (proc / "net/sockstat").write_bytes(b"sockets: used 15\nTCP: inuse 1 orphan 0 tw 21 alloc 1 mem 361\n")
    read = take(ConnectionsMonitor(proc=str(proc)))
    assert read['system.network.connections{protocol="tcp",state="established"}'] == 13
    assert read['system.network.connections{protocol="tcp",state="time_wait"}'] == 21
    assert read["system.network.tcp.retransmissions"] == 14
    assert read['system.network.tcp.opened{direction="passive"}'] == 12


def test_missing_names_are_unknown() -> None:
    """A name that the kernel does not have leaves its slot empty."""
    assert math.isnan(parse_snmp(b"Tcp: A\nTcp: 1\n", b"Tcp", (b"B",))[0])
    assert math.isnan(parse_snmp(b"Tcp: A\n", b"Tcp", (b"A",))[0])
    assert math.isnan(parse_time_wait(b"UDP: inuse 1\nTCP: inuse 1 tw"))
