"""Where a request came from: the peer of the connection, or what a proxy that is trusted says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cybercorp.core.errors import SettingsError

_V6_PREFIX = 64
_MAX_HOPS = 20
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def forwarded_for(peer: str, header: str, trusted: Sequence[Network]) -> str:
    """The address behind `peer`: the last of `X-Forwarded-For` that no trusted proxy has.

    Whoever is no trusted proxy is who they are, whatever they say; what is no address ends the search.
    """
    current = peer
    for hop in reversed(header.split(",")[-_MAX_HOPS:]):
        if not _is_within(current, trusted):
            return current
        cleaned = hop.strip().strip("[]")
        try:
            ipaddress.ip_address(cleaned)
        except ValueError:
            return current
        current = cleaned
    return current


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks if network.version == parsed.version)
