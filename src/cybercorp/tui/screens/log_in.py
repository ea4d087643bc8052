"""The dialog that logs in: name and password, a code where one is needed, or a passkey in the browser."""

from __future__ import annotations

from typing import ClassVar

from textual.widgets import Input

from cybercorp.core.errors import CyberCorpError, UnauthenticatedError
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.protocol.passkeys import Ceremony
from cybercorp.security.display import safe_text
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.screens.proof import ProofDialog


class LogInDialog(ProofDialog[Tokens]):
    """Dismissed with the session's tokens."""

    title_text: ClassVar[str] = "Log in"
    fields: ClassVar[tuple[str, ...]] = ("user", "password", "code")

    def __init__(self, client: FleetClient) -> None:
        super().__init__(client)
        self._user = safe_text(client.kept_login.user, 128)

    def purpose(self) -> str:
        return f"{safe_text(self.client.url, 200)} wants to know who you are."

    def on_mount(self) -> None:
        super().on_mount()
        if self._user:
            self.query_one("#user", Input).value = self._user
            self.query_one("#password", Input).focus()
        else:
            self.query_one("#user", Input).focus()

    async def send(self) -> Tokens | None:
        code = self.value("code").strip()
        try:
            return await self.client.account.login(
                self.value("user"), self.value("password"), code or None, ClientType.TUI
            )
        except UnauthenticatedError as error:
            if error.error_code != "mfa_needed" or code:
                raise
            self.show_field("code", shown=True)
            self.query_one("#code", Input).focus()
            return None

    def refused(self, error: CyberCorpError) -> None:
        """A wrong code is typed anew, the password need not be."""
        if error.error_code == "wrong_code" and self._ceremony is None:
            self.clear_field("code")
            self.query_one("#code", Input).focus()
            return
        self.show_field("code", shown=False)
        super().refused(error)

    async def begin(self) -> Ceremony:
        return await self.client.passkeys.begin_login(ClientType.TUI)

    async def finish(self, ceremony: Ceremony, code: str) -> Tokens:
        return await self.client.passkeys.finish_login(ceremony, code)
