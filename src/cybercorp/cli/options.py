"""Options that every command has (`--profile`, `--url`, `--data-dir`, …), wherever they stand on the line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cybercorp.cli.questions import prove_again
from cybercorp.core.errors import AccessError, InvalidInputError
from cybercorp.core.paths import data_dir as default_data_dir

if TYPE_CHECKING:
    import typer

    from cybercorp.client.asynchronous import AsyncClient
    from cybercorp.client.synchronous import Client
    from cybercorp.security.credentials import Credential

WITH_VALUE = ("--profile", "--url", "--token-file", "--data-dir")
FLAGS = ("--debug", "--no-color")
_MAX_TOKEN_FILE = 4096


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was given for every command. The client reads the environment and the profiles where nothing was."""

    profile: str | None = None
    url: str | None = None
    token_file: Path | None = None
    named_data_dir: Path | None = None
    debug: bool = False
    no_color: bool = False

    @property
    def data_dir(self) -> Path:
        """The data folder that was named, else the platform's."""
        return self.named_data_dir or default_data_dir()

    def client(self, *, timeout_s: float = 10.0) -> Client:
        """A client of the chosen server; use it in a `with`."""
        # httpx alone takes 70 ms, which --help and the completion must not pay.
        from cybercorp.client.synchronous import Client

        client = Client(**self._credentials(), timeout_s=timeout_s)
        client.when_step_up(partial(prove_again, client))
        return client

    def async_client(self, *, timeout_s: float = 10.0) -> AsyncClient:
        """The same, awaited: for live subscriptions and the dashboard."""
        from cybercorp.client.asynchronous import AsyncClient

        return AsyncClient(**self._credentials(), timeout_s=timeout_s)

    def login_profile(self) -> str:
        """The name under which a log-in to the chosen server is kept."""
        from cybercorp.client.profiles import profile_name

        return self.profile or profile_name(self.credential().url)

    def check_server_known(self) -> None:
        """Raise what a client would raise where no server is known or its credential is no use; loads no client."""
        self.credential()

    def check_may_log_in(self) -> None:
        """Raise UnauthenticatedError where there is neither a token to show nor a profile to log in to.

        And all that `check_server_known` raises.
        """
        credential = self.credential()
        if not credential.token and not credential.profile:
            from cybercorp.client.authorization import logged_out

            raise logged_out(credential.url)

    def credential(self) -> Credential:
        """The address and token of the chosen server. Raises AccessError, UnreachableError; loads no client."""
        from cybercorp.client.profiles import find_credential

        return find_credential(**self._credentials())

    def _credentials(self) -> dict[str, Any]:
        token = read_token(self.token_file) if self.token_file else None
        return {"url": self.url, "token": token, "profile": self.profile, "data_dir": self.named_data_dir}


def options_of(context: typer.Context) -> Options:
    """The options of this call."""
    options = context.obj
    return options if isinstance(options, Options) else Options()


def read_token(path: Path) -> str:
    """The token in a file; `-` reads stdin. Tokens never stand on a command line, where every user could see them."""
    try:
        if str(path) == "-":
            text = sys.stdin.read(_MAX_TOKEN_FILE)
        else:
            with path.open(encoding="utf-8") as file:
                text = file.read(_MAX_TOKEN_FILE)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise AccessError(
            f"The token file {path} cannot be read: {reason}.", hint="Check its name and rights."
        ) from error
    token = text.strip()
    if not token:
        raise InvalidInputError(f"The token file {path} is empty.", hint="Put the token, and nothing else, into it.")
    return token


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the options of every command to the front, so that `cybercorp hosts --profile prod` works as well.

    What follows `--` stays where it is.
    """
    front: list[str] = []
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        name = argument.partition("=")[0]
        if argument == "--":
            rest += [argument, *pending]
        elif argument in FLAGS or (name in WITH_VALUE and "=" in argument):
            front.append(argument)
        elif argument in WITH_VALUE:
            value = next(pending, None)
            front += [argument] if value is None else [argument, value]
        else:
            rest.append(argument)
    return [*front, *rest]


def wants_color(options: Options) -> bool:
    """Colours are for terminals that can, and for people who did not decline them (https://no-color.org)."""
    return not (options.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")
