"""Logging in and out while the dashboard runs, and proving who one is where the server asks for it again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from textual.app import App

from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.logins import Tokens
from cybercorp.security.display import safe_text
from cybercorp.tui.clients import Proof
from cybercorp.tui.screens.log_in import LogInDialog
from cybercorp.tui.screens.step_up import StepUpDialog
from cybercorp.tui.session import Session


class LogIns:
    """`offer` is called each second; the dialog comes by itself once for each time that the server refuses."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._offered = False

    @property
    def _session(self) -> Session:
        session: Session = self._app.session  # type: ignore[attr-defined]  # the dashboard's
        return session

    def offer(self) -> None:
        """Ask for a log-in where the server wants one and it was not declined."""
        client = self._session.client
        if self._session.connection.is_open:
            self._offered = False
        elif (
            client is not None
            and self._session.connection.is_refused
            and not self._offered
            and client.kept_login.possible
        ):
            self._offered = True
            self.ask()

    def ask(self) -> None:
        """Open the dialog; say why where no log-in would be used."""
        client = self._session.client
        if client is None or isinstance(self._app.screen, LogInDialog):
            return
        if not client.kept_login.possible:
            self._app.notify(
                "This dashboard shows a token that was given to it. Quit, then: cybercorp login URL, cybercorp tui.",
                markup=False,
            )
            return
        self._app.push_screen(LogInDialog(client), self._keep)

    def _keep(self, tokens: Tokens | None) -> None:
        client = self._session.client
        if tokens is None or client is None:
            return
        try:
            replaced = client.kept_login.keep(tokens)
        except CyberCorpError as error:
            self._app.notify(safe_text(f"{error.message} {error.hint}", 400), severity="error", markup=False)
            return
        self._session.reconnect()
        self._app.notify(safe_text(f"Logged in as {tokens.user}.", 100), markup=False, timeout=3)
        if replaced:
            self._app.run_worker(client.account.end_replaced(replaced, tokens), name="end the session before")

    async def log_out(self) -> None:
        """End the session and forget it here; the dialog comes up for whoever is next."""
        client = self._session.client
        if client is None or not client.kept_login.possible:
            self._app.notify("Nobody is logged in here.", markup=False)
            return
        with contextlib.suppress(CyberCorpError):  # it is over already, or ends by itself
            await client.account.logout()
        try:
            client.kept_login.forget()
        except CyberCorpError as error:
            self._app.notify(safe_text(f"{error.message} {error.hint}", 400), severity="error", markup=False)
        self._offered = False
        self._session.reconnect()

    async def prove(self) -> Proof | None:
        """What the server wants before something dangerous; None where the person gave up."""
        client = self._session.client
        if client is None:
            return None
        given: asyncio.Future[Proof | None] = asyncio.get_running_loop().create_future()

        def take(proof: Proof | None) -> None:
            if not given.done():
                given.set_result(proof)

        account = self._session.account
        self._app.push_screen(StepUpDialog(client, account.user if account else None), take)
        return await given
