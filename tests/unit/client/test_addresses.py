"""Addresses of servers."""

import pytest

from cybercorp.client.addresses import check_url, is_loopback, unreachable, websocket_url
from cybercorp.core.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("https://monitor.example.com/", "https://monitor.example.com"),
        ("monitor:8765", "https://monitor:8765"),
        (" http://[::1]:8765/base/ ", "http://[::1]:8765/base"),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, expected: str) -> None:
    """Blanks, a trailing slash and a missing scheme do not matter."""
    assert check_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://x",
        "http://",
        "http://user:secret@host",
        "http://host:99999",
        "http://h/?token=x",
        "a\x1b[31mb",
        "a b",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """A wrong address, one with a secret in it, or with control characters, is named as such."""
    with pytest.raises(InvalidInputError) as caught:
        check_url(text)
    assert caught.value.error_code == "invalid_url"
    assert "\x1b" not in str(caught.value)


def test_sockets_use_the_scheme_of_the_address() -> None:
    """http becomes ws, https becomes wss."""
    assert websocket_url("http://h:1", "/p") == "ws://h:1/p"
    assert websocket_url("https://h", "/p") == "wss://h/p"


def test_loopback_is_told_from_the_network() -> None:
    """Only loopback is spoken to without a proxy."""
    assert all(
        is_loopback(url) for url in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "http://127.9.9.9")
    )
    assert not any(
        is_loopback(url) for url in ("http://10.0.0.1", "http://localhost.example.com", "https://example.com")
    )


def test_a_server_that_does_not_answer_is_named_with_what_to_start() -> None:
    """The message says where, why and what to type; the reason of the network cannot carry control characters."""
    local = unreachable("http://127.0.0.1:8765", "refused\x1b[2J")
    assert "http://127.0.0.1:8765" in local.message
    assert "cybercorp up" in local.hint
    assert "\x1b" not in str(local)
    assert "cybercorp server run" in unreachable("http://far.example.com", "refused").hint
    assert "certificate" in unreachable("https://far.example.com", "CERTIFICATE_VERIFY_FAILED").message.lower()
