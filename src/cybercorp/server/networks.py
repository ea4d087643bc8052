"""Where a request came from: the peer of the connection, or what a proxy that is trusted says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cybercorp.core.errors import SettingsError

_V6_PREFIX = 64
_MAX_HOPS = 20
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


def parse_networks(texts: Sequence[str], setting: str) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.0/8`). Raises SettingsError."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise SettingsError(
                f"'{text[:60]}' in {setting} is no network.", hint="Write 192.0.2.7 or 10.0.0.0/8."
            ) from None
    return tuple(found)


def network_key(address: str) -> str:
    """What is counted together: an IPv4 address, the /64 of an IPv6 address; anything else as it is."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if not parsed.is_loopback:
            return str(ipaddress.ip_network((parsed, _V6_PREFIX), strict=False).network_address)
    return str(parsed)


def came_from(peer: str, header: str, trusted: Sequence[Network], *, passed_on: bool) -> str:
    """Where a request came from, as `forwarded_for` says; `proxy <address>` for this machine's own proxies.

    What was `passed_on`, by any header that says so, is this machine's own only where a trusted proxy says that all of
    its way was: else whoever comes by a proxy here that nobody set would be taken for somebody who sits here.
    """
    address = forwarded_for(peer, header, trusted)
    if not passed_on or not _is_loopback(address):
        return address
    own = _is_within(peer, trusted) and all(_is_loopback(_cleaned(hop)) for hop in header.split(","))
    return address if own else f"proxy {address}"


def forwarded_for(peer: str, header: str, trusted: Sequence[Network]) -> str:
    """The address behind `peer`: the last of `X-Forwarded-For` that no trusted proxy has.

    Whoever is no trusted proxy is who they are, whatever they say; what is no address ends the search, and so does
    a loopback address that another machine names.
    """
    current = peer
    for hop in reversed(header.split(",")[-_MAX_HOPS:]):
        if not _is_within(current, trusted):
            return current
        cleaned = _cleaned(hop)
        try:
            ipaddress.ip_address(cleaned)
        except ValueError:
            return current
        if _is_loopback(cleaned) and not _is_loopback(current):
            return current
        current = cleaned
    return current


def _cleaned(hop: str) -> str:
    return hop.strip().strip("[]")


def _is_loopback(address: str) -> bool:
    return _is_within(address, _LOOPBACK)


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks if network.version == parsed.version)
