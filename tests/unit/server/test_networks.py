"""Where requests come from: the peer, or what a trusted proxy says; what is counted together."""

import pytest

from cybercorp.core.errors import SettingsError
from cybercorp.server.networks import came_from, forwarded_for, network_key, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "::1"], "trusted_proxies")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("x" * 100, "x" * 64),
        ("", ""),
    ],
)
def test_what_is_counted_together(address: str, key: str) -> None:
    """Whoever has a network of IPv6 has 2⁶⁴ addresses: they are one."""
    assert network_key(address) == key


@pytest.mark.parametrize(
    ("peer", "header", "found"),
    [
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),  # no proxy of ours: whatever it says
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "evil, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # what the client made up stays on the left
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("::1", "[2001:db8::1]", "2001:db8::1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 10.1.2.3", "10.1.2.3"),  # nobody elsewhere is on this machine
        ("10.0.0.1", "::1", "10.0.0.1"),
        ("::1", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.1", ",".join(["9.9.9.9"] * 10_000), "9.9.9.9"),
    ],
)
def test_who_is_behind_a_proxy(peer: str, header: str, found: str) -> None:
    """The last address that no trusted proxy has; made-up ones before it count for nothing."""
    assert forwarded_for(peer, header, PROXIES) == found


@pytest.mark.parametrize(
    ("peer", "header", "passed_on", "found"),
    [
        ("::1", "", False, "::1"),
        ("::1", "127.0.0.1", True, "127.0.0.1"),  # all of its way is this machine's, says whom we trust
        ("::1", "203.0.113.9", True, "203.0.113.9"),
        ("::1", "", True, "proxy ::1"),  # passed on for somebody it does not name
        ("::1", "nonsense", True, "proxy ::1"),
        ("127.0.0.1", "203.0.113.9", True, "proxy 127.0.0.1"),  # nobody set it
        ("127.0.0.1", "127.0.0.1", True, "proxy 127.0.0.1"),
        ("192.0.2.7", "127.0.0.1", True, "192.0.2.7"),
    ],
)
def test_who_is_on_this_machine(peer: str, header: str, passed_on: bool, found: str) -> None:
    """What a proxy here passes on is not this machine's own, unless a trusted one says so."""
    assert came_from(peer, header, PROXIES, passed_on=passed_on) == found


def test_nobody_is_trusted_by_default() -> None:
    """Without a setting the header means nothing."""
    assert forwarded_for("127.0.0.1", "203.0.113.9", ()) == "127.0.0.1"


def test_a_setting_that_is_no_network() -> None:
    """It is named, with an example."""
    with pytest.raises(SettingsError, match="trusted_proxies"):
        parse_networks(["10.0.0.0/33"], "trusted_proxies")
