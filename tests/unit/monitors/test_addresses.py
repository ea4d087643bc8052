"""Addresses from the kernel's netlink answers, broken ones included."""

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.addresses import parse_addresses, read_addresses


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def address(text: str, *, local: str = "") -> bytes:
    body = struct.pack("=BBBBI", 2, 24, 0, 0, 2) + attribute(1, ipaddress.ip_address(text).packed)
    if local:
        body += attribute(2, ipaddress.ip_address(local).packed)
    return message(20, body + attribute(3, b"eth0\0"))


DONE = message(3, b"\0\0\0\0")


def test_addresses_of_both_families() -> None:
    """Not the loopback and link-local ones; of a tunnel the own end."""
    own = ("127.0.0.1", "192.0.2.7", "fe80::1", "2001:db8::7", "::1")
    datagram = b"".join(map(address, own)) + address("198.51.100.1", local="198.51.100.2")
    assert parse_addresses(datagram + DONE) == (["192.0.2.7", "2001:db8::7", "198.51.100.2"], False)


def test_an_answer_in_several_datagrams() -> None:
    """More follow until the kernel says that it is done, or cannot."""
    assert parse_addresses(address("192.0.2.7")) == (["192.0.2.7"], True)
    assert parse_addresses(message(2, b"\xff\xff\xff\xff")) == ([], False)
    assert parse_addresses(b"") == ([], False)


@given(st.binary(max_size=200))
def test_no_datagram_breaks_the_parser(datagram: bytes) -> None:
    """Nothing is raised and it always ends."""
    parse_addresses(datagram)
    parse_addresses(address("192.0.2.7")[:30] + datagram)


def test_this_machines_addresses_are_addresses() -> None:
    """Whatever the kernel says can be parsed as addresses."""
    for one in read_addresses():
        assert not ipaddress.ip_address(one).is_loopback
