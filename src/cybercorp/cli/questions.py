"""Questions to a person: passwords and codes, asked on the terminal and never shown; a script gets an error instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from cybercorp.core.errors import InvalidInputError
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client
    from cybercorp.protocol.logins import StepUp
    from cybercorp.protocol.passkeys import CeremonyCode

_MAX_SECRET = 1024


def can_ask() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_secret(question: str, *, option: str) -> str:
    """A password or a code, typed without being shown. Raises InvalidInputError where nobody can be asked."""
    if not can_ask():
        raise InvalidInputError(
            f"{question} must be given, and there is no terminal to ask on.", hint=f"Give it with {option}."
        )
    answer: str = typer.prompt(question, hide_input=True, err=True)
    return answer


def ask_new_password(name: str) -> str:
    """A new password, typed twice."""
    if not can_ask():
        raise InvalidInputError(
            "A password must be given, and there is no terminal to ask on.", hint="Pipe it in: --password-stdin."
        )
    question = f"New password of {safe_text(name, 80)} (12 characters or more)"
    answer: str = typer.prompt(question, hide_input=True, err=True, confirmation_prompt="The same again")
    return answer


def ask_text(question: str, *, option: str) -> str:
    """A line that may be seen. Raises InvalidInputError where nobody can be asked."""
    if not can_ask():
        raise InvalidInputError(
            f"{question} must be given, and there is no terminal to ask on.", hint=f"Give it with {option}."
        )
    answer: str = typer.prompt(question, err=True)
    return answer


def read_secret() -> str:
    """A password from stdin: its first line. Raises InvalidInputError where there is none."""
    text = sys.stdin.readline(_MAX_SECRET).rstrip("\r\n")
    if not text:
        raise InvalidInputError("stdin holds no password.", hint="Pipe it in: --password-stdin < file.")
    return text


def prove_again(client: Client) -> StepUp | CeremonyCode | None:
    """What the server wants before something dangerous; None where nobody can be asked."""
    if not can_ask():
        return None
    from cybercorp.protocol.logins import StepUp
    from cybercorp.protocol.mfa import FactorKind

    user = client.account.show().user
    factors = user.factors if user else []
    sys.stderr.write("This needs proof that it is you.\n")
    with_passkey = FactorKind.PASSKEY in factors
    question = "Password (empty: with a passkey)" if with_passkey else "Password"
    password: str = typer.prompt(
        question, hide_input=True, err=True, show_default=False, default="" if with_passkey else None
    )
    if with_passkey and not password:
        return _prove_by_passkey(client)
    code = ""
    if set(factors) - {FactorKind.RECOVERY}:
        code = typer.prompt(
            "Code of the authenticator app, or a recovery code", default="", show_default=False, err=True
        )
    return StepUp(password=password, code=code.strip() or None)


def _prove_by_passkey(client: Client) -> CeremonyCode:
    from cybercorp.cli.passkeys import ask_code, show_page
    from cybercorp.client.passkeys import answer_to

    ceremony = client.passkeys.begin_step_up()
    show_page(client.url, ceremony)
    return answer_to(ceremony, ask_code())
