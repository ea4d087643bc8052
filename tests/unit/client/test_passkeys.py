"""The address of the page where a passkey is used."""

import pytest

from cybercorp.client.passkeys import page_of
from cybercorp.core.errors import InvalidInputError, MalformedMessageError
from cybercorp.protocol.passkeys import Ceremony

CEREMONY = Ceremony(ticket="cch_ticket_0", secret="cch_secret_0", expires_in_s=300)


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://ops.example.com:8765", "https://ops.example.com:8765/passkey#cch_ticket_0"),
        ("https://ops.example.com", "https://ops.example.com/passkey#cch_ticket_0"),
        ("http://127.0.0.1:8765", "http://localhost:8765/passkey#cch_ticket_0"),
        ("https://[::1]:8765/", "https://localhost:8765/passkey#cch_ticket_0"),
        ("http://localhost:8765", "http://localhost:8765/passkey#cch_ticket_0"),
    ],
)
def test_the_page(url: str, page: str) -> None:
    """Under the server's name; of this machine as localhost, the only plain address where browsers use passkeys."""
    assert page_of(url, CEREMONY) == page


@pytest.mark.parametrize("url", ["https://192.0.2.1:8765", "https://[2001:db8::1]"])
def test_a_number_is_no_site(url: str) -> None:
    """The browser would refuse it without saying why; here it is said, with what to do."""
    with pytest.raises(InvalidInputError, match="belongs to a name") as error:
        page_of(url, CEREMONY)
    assert error.value.error_code == "passkey_site"


def test_nothing_secret_is_shown() -> None:
    """Neither half of a ceremony stands in a traceback."""
    assert "ticket" not in repr(CEREMONY)


@pytest.mark.parametrize("ticket", ["", "a b", "a\nb", "a\x1b]0;b\x07", "a\u202eb", "a#b", "a/../b", "--b"])
def test_a_hostile_server_writes_nothing_on_the_terminal(ticket: str) -> None:
    """What it calls a ticket is shown and handed to a browser: letters, digits and _ alone."""
    with pytest.raises(MalformedMessageError):
        page_of("https://ops.example.com:8765", Ceremony(ticket=ticket, secret="s", expires_in_s=300))
