"""client.trust: what is sent in plain text, to whom."""

from __future__ import annotations

import pytest

from cybercorp.client.synchronous import Client
from cybercorp.client.trust import make_context
from cybercorp.core.errors import UntrustedServerError
from cybercorp.security.credentials import Credential


@pytest.mark.parametrize("url", ["http://monitor.example.com:8765", "http://192.0.2.1", "http://[2001:db8::1]:8765"])
def test_plain_http_is_for_loopback(url: str) -> None:
    """A token or password is never sent where everybody in between reads it, whatever the profile says."""
    with pytest.raises(UntrustedServerError) as refused:
        Client(url, token="cct_secret")
    assert refused.value.error_code == "plain_text"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "http://[::1]:8765", "http://localhost:8765"])
def test_loopback_needs_no_tls(url: str) -> None:
    """`cybercorp up` stays free of certificates."""
    assert make_context(Credential(url=url, token="cco_x")) is None
