"""Network traffic from recorded, old and hostile /proc/net/dev texts."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.network import NetworkMonitor, plan_network, separate

Take = Callable[..., dict[str, float]]
HEADER = b"Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n"


def row(name: bytes, first: int = 1) -> bytes:
    return name + b": " + b" ".join(str(first + column).encode() for column in range(16)) + b"\n"


def read_text(proc: Path, take: Take, text: bytes, skip: tuple[str, ...] = ()) -> dict[str, float]:
    (proc / "net/dev").write_bytes(text)
    return take(NetworkMonitor(skip, 100, proc=str(proc)))


def test_every_interface_both_ways(proc: Path, take: Take) -> None:
    """Bytes, packets, errors and drops of each, loopback and virtual ones included."""
    read = read_text(proc, take, HEADER + row(b"lo") + row(b"veth0a1b", 101))
    assert read['system.network.io{device="lo",direction="receive"}'] == 1
    assert read['system.network.io{device="lo",direction="transmit"}'] == 9
    assert read['system.network.packets{device="veth0a1b",direction="transmit"}'] == 110
    assert read['system.network.errors{device="veth0a1b",direction="receive"}'] == 103
    assert read['system.network.dropped{device="lo",direction="transmit"}'] == 12
    assert len(read) == 16


def test_the_recorded_machine_has_its_loopback(proc: Path, take: Take) -> None:
    """What was recorded on a real machine is read."""
    read = take(NetworkMonitor((), 100, proc=str(proc)))
    assert read['system.network.io{device="lo",direction="receive"}'] > 0
    assert 'system.network.io{device="eth0",direction="transmit"}' in read


def test_old_kernels_put_no_blank_behind_the_colon(proc: Path, take: Take, recorded: Callable[[str], bytes]) -> None:
    """A wide number directly behind the name is a number; 64 bits are enough for any counter."""
    read = read_text(proc, take, recorded("net_dev_2_6"))
    assert read['system.network.io{device="eth0",direction="receive"}'] == 4294967295
    assert read['system.network.io{device="eth0",direction="transmit"}'] == float(2**64 - 1)
    assert read['system.network.dropped{device="eth0",direction="transmit"}'] == 4


def test_interfaces_come_and_go(proc: Path, take: Take) -> None:
    """A container's interface is there in the look after it came, and gone in the one after it went."""
    path = proc / "net/dev"
    path.write_bytes(HEADER + row(b"lo") + row(b"veth1") + row(b"eth0", 50))
    monitor = NetworkMonitor((), 100, proc=str(proc))
    take(monitor)
    path.write_bytes(HEADER + row(b"lo") + row(b"eth0", 60))
    read = take(monitor)
    assert read['system.network.io{device="eth0",direction="receive"}'] == 60
    assert not any("veth1" in key for key in read)


def test_hostile_names_stay_apart_and_valid(proc: Path, take: Take) -> None:
    """Names may be any bytes: they become text that can be sent, and two different ones stay two."""
    read = read_text(proc, take, HEADER + row(b"a\xff") + row(b"a\xfe") + row(b"\x1b[31m"))
    assert len(read) == 24
    assert 'system.network.io{device="a\\\\xff",direction="receive"}' in read
    for key in read:
        key.encode("utf-8")


def test_skipped_interfaces_and_the_limit(proc: Path, take: Take) -> None:
    """Globs leave out what a person does not want; a limit bounds the rest."""
    assert len(read_text(proc, take, HEADER + row(b"lo") + row(b"veth1"), ("veth*",))) == 8
    text = HEADER + b"".join(row(b"v%d" % index) for index in range(300))
    assert len(plan_network(separate(text), lambda name: True, 128)[1]) == 128


@given(st.binary(max_size=400))
def test_no_text_breaks_the_parser(text: bytes) -> None:
    """Garbage is no interface, and nothing is raised."""
    spaced = separate(text)
    plan, names = plan_network(spaced, lambda name: True, 10)
    assert len(plan.read(spaced.split())) == 8 * len(names)
