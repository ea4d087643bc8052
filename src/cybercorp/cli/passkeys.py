"""A passkey, used in the browser while the terminal waits for the code that the page shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cybercorp.cli.output.writers import say
from cybercorp.cli.questions import ask_text, can_ask
from cybercorp.core.errors import InvalidInputError

if TYPE_CHECKING:
    from cybercorp.protocol.passkeys import Ceremony

ResultT = TypeVar("ResultT")
_TRIES = 3


def check_can_ask() -> None:
    """Raises InvalidInputError where nobody sits here who could type the code."""
    if not can_ask():
        raise InvalidInputError(
            "A passkey needs a terminal: the browser shows a code, which is typed here.", hint="Run it by hand."
        )


def use_browser(url: str, ceremony: Ceremony, finish: Callable[[Ceremony, str], ResultT]) -> ResultT:
    """Show the page and open it where there is a desktop; `finish` is called with the code that is typed."""
    show_page(url, ceremony)
    for left in reversed(range(_TRIES)):
        try:
            return finish(ceremony, ask_code())
        except InvalidInputError as error:
            if error.error_code != "wrong_code" or not left:
                raise
            say(f"{error.message} {error.hint}")
    raise AssertionError("the last try returns or raises")


def show_page(url: str, ceremony: Ceremony) -> None:
    """Tell where to go, on stderr."""
    from cybercorp.client.browsers import open_page
    from cybercorp.client.passkeys import page_of

    page = page_of(url, ceremony)
    say(f"Open this in a browser, on any machine of yours, within {ceremony.expires_in_s // 60} minutes:\n\n  {page}\n")
    open_page(page)


def ask_code() -> str:
    """The code that the page shows."""
    return ask_text("Code that the page shows", option="a terminal")
