"""The addresses of this machine's interfaces, asked of the kernel by netlink (rtnetlink(7)); Linux only."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator

_RTM_GETADDR, _RTM_NEWADDR = 22, 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x1 | 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_DATAGRAMS = 4096


def read_addresses() -> list[str]:
    """IPv4 and IPv6 addresses but loopback and link-local ones; empty where the kernel does not answer."""
    found: dict[str, None] = {}
    with contextlib.suppress(OSError, AttributeError), _asked() as netlink:
        for _ in range(_DATAGRAMS):
            addresses, more = parse_addresses(netlink.recv(65536))
            found.update(dict.fromkeys(addresses))
            if not more:
                break
    return list(found)


def _asked() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    netlink.settimeout(1.0)
    body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    netlink.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETADDR, _REQUEST_DUMP, 1, 0) + body)
    return netlink


def parse_addresses(datagram: bytes) -> tuple[list[str], bool]:
    """The addresses in one datagram of the answer, and whether more datagrams follow. Never raises."""
    found: list[str] = []
    for kind, body in _messages(datagram):
        if kind in (_NLMSG_DONE, _NLMSG_ERROR):
            return found, False
        if kind != _RTM_NEWADDR or len(body) < _ADDRESS.size:
            continue
        attributes = dict(_attributes(body[_ADDRESS.size :]))
        # On a point-to-point link "address" is the other end and "local" this one.
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
        if len(packed) not in (4, 16):
            continue
        address = ipaddress.ip_address(packed)
        if not (address.is_loopback or address.is_link_local):
            found.append(str(address))
    return found, bool(datagram)


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _HEADER.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, position)
        if length < _HEADER.size:
            return
        yield kind, datagram[position + _HEADER.size : position + length]
        position += _aligned(length)


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, position)
        if length < _ATTRIBUTE.size:
            return
        yield kind, body[position + _ATTRIBUTE.size : position + length]
        position += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
