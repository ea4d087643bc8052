"""The dialog that asks again who somebody is, before something dangerous."""

from __future__ import annotations

from typing import ClassVar

from textual.widgets import Input

from cybercorp.client.passkeys import answer_to
from cybercorp.protocol.logins import StepUp
from cybercorp.protocol.mfa import FactorKind
from cybercorp.protocol.passkeys import Ceremony
from cybercorp.protocol.users import User
from cybercorp.security.display import safe_text
from cybercorp.tui.clients import FleetClient, Proof
from cybercorp.tui.screens.proof import ProofDialog


class StepUpDialog(ProofDialog[Proof]):
    """Dismissed with the proof, which the server has yet to judge."""

    title_text: ClassVar[str] = "Is it you?"

    def __init__(self, client: FleetClient, user: User | None) -> None:
        super().__init__(client)
        self._user = user
        factors = set(user.factors if user else ())
        self.passkeys = FactorKind.PASSKEY in factors
        self._needs_code = bool(factors - {FactorKind.RECOVERY})

    def purpose(self) -> str:
        name = safe_text(self._user.name, 100) if self._user else "you"
        return f"This is dangerous enough to ask: is it {name}? The answer holds for five minutes."

    def on_mount(self) -> None:
        super().on_mount()
        self.show_field("code", shown=self._needs_code)
        self.query_one("#password", Input).focus()

    async def send(self) -> Proof | None:
        return StepUp(password=self.value("password"), code=self.value("code").strip() or None)

    async def begin(self) -> Ceremony:
        return await self.client.passkeys.begin_step_up()

    async def finish(self, ceremony: Ceremony, code: str) -> Proof:
        return answer_to(ceremony, code)
