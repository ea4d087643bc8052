"""What log-in and step-up share: fields one below the other, one error line, and a passkey's page."""

from __future__ import annotations

import asyncio
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from cybercorp.client.browsers import open_page
from cybercorp.client.passkeys import page_of
from cybercorp.core.errors import CyberCorpError, RateLimitedError
from cybercorp.core.units import format_seconds
from cybercorp.protocol.passkeys import Ceremony
from cybercorp.security.display import safe_text
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.screens.dialog import Dialog

ResultT = TypeVar("ResultT")


class ProofDialog(Dialog[ResultT]):
    """Gives `title`, `purpose`, the ids of its `fields`, `send()` and, for a passkey, `begin()` and `finish(code)`."""

    DEFAULT_CSS = """
    ProofDialog > Vertical {
        width: 72; max-width: 96%; height: auto; background: $surface; border: round $primary; padding: 1 2;
    }
    ProofDialog Static { height: auto; }
    ProofDialog .-hidden { display: none; }
    ProofDialog .label { color: $text-muted; margin-top: 1; }
    ProofDialog Input, ProofDialog Input:focus { border: none; height: 1; padding: 0 1; background: $panel; }
    ProofDialog #page { background: $panel; padding: 1 2; margin-top: 1; }
    ProofDialog #error { color: $text-error; margin-top: 1; }
    ProofDialog #status { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f2", "passkey", "Passkey", show=False)]
    LABELS: ClassVar[dict[str, str]] = {
        "user": "User",
        "password": "Password",
        "code": "Code of the authenticator app, or a recovery code",
        "page-code": "Code that the page shows",
    }
    title_text: ClassVar[str] = ""
    fields: ClassVar[tuple[str, ...]] = ("password", "code")
    passkeys = True

    def __init__(self, client: FleetClient) -> None:
        super().__init__()
        self.client = client
        self._ceremony: Ceremony | None = None
        self._busy = False

    # what a dialog gives

    def purpose(self) -> str:
        """What this is about."""
        raise NotImplementedError

    async def send(self) -> ResultT | None:
        """The result of what is typed; None where something is missing. Raises CyberCorpError."""
        raise NotImplementedError

    async def begin(self) -> Ceremony:
        """A passkey ceremony."""
        raise NotImplementedError

    async def finish(self, ceremony: Ceremony, code: str) -> ResultT:
        """The result of a ceremony."""
        raise NotImplementedError

    # what is seen

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self.title_text
            box.border_subtitle = f"enter goes on{' · f2 passkey' if self.passkeys else ''} · esc cancels"
            yield Static(Text(self.purpose()), id="purpose")
            for name in (*self.fields, "page-code"):
                yield Static(Text(self.LABELS[name]), id=f"{name}-label", classes="label")
                yield Input(id=name, password=name == "password", max_length=256)
            yield Static(Text(""), id="page")
            yield Static(Text(""), id="status")
            yield Static(Text(""), id="error")

    def on_mount(self) -> None:
        for name in ("page-code", "code"):
            if name in (*self.fields, "page-code"):
                self.show_field(name, shown=False)
        for name in ("page", "status", "error"):
            self.query_one(f"#{name}").add_class("-hidden")

    def show_field(self, name: str, *, shown: bool) -> None:
        for one in (f"#{name}", f"#{name}-label"):
            self.query_one(one).set_class(not shown, "-hidden")

    def clear_field(self, name: str) -> None:
        """Empty it; what is said of it stays."""
        field = self.query_one(f"#{name}", Input)
        with field.prevent(Input.Changed):
            field.clear()

    def value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def say(self, name: str, text: str) -> None:
        """In one of the lines `page`, `status` and `error`; an empty one is not there."""
        line = self.query_one(f"#{name}", Static)
        line.update(Text(safe_text(text, 600), overflow="fold"))
        line.set_class(not text, "-hidden")

    def tell(self, error: CyberCorpError) -> None:
        """What went wrong, and what to do."""
        wait = (
            f" Try again in {format_seconds(max(round(error.retry_after_s), 1))}."
            if isinstance(error, RateLimitedError)
            else ""
        )
        self.say("error", f"✖ {error.message}{wait} {error.hint}".strip())

    # what is done

    @on(Input.Changed)
    def _typed(self) -> None:
        self.say("error", "")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        waiting = [one for one in self.query(Input) if not one.has_class("-hidden") and not one.value.strip()]
        if waiting:
            waiting[0].focus()
        elif not self._busy:
            self._go_on()

    @work(exclusive=True, exit_on_error=True)
    async def _go_on(self) -> None:
        self._busy = True
        self.say("status", "Asking the server …")
        try:
            ceremony = self._ceremony
            done = await (self.send() if ceremony is None else self.finish(ceremony, self.value("page-code")))
        except CyberCorpError as error:
            self.tell(error)
            self.refused(error)
        else:
            if done is not None:
                self.dismiss(done)
        finally:
            self._busy = False
            self.say("status", "")

    def refused(self, error: CyberCorpError) -> None:
        """Secrets are typed anew."""
        names = ("page-code",) if self._ceremony is not None else ("code", "password")
        for name in names:
            if name == "page-code" or name in self.fields:
                self.clear_field(name)
        if error.error_code == "ceremony_over":
            self._leave_passkey()
        first = next((one for one in self.query(Input) if not one.has_class("-hidden") and not one.value), None)
        if first is not None:
            first.focus()

    def action_passkey(self) -> None:
        if self.passkeys and not self._busy and self._ceremony is None:
            self._begin_passkey()

    @work(exclusive=True, exit_on_error=True)
    async def _begin_passkey(self) -> None:
        try:
            ceremony = await self.begin()
            page = page_of(self.client.url, ceremony)
        except CyberCorpError as error:
            self.tell(error)
            return
        self._ceremony = ceremony
        for name in self.fields:
            self.show_field(name, shown=False)
        self.show_field("page-code", shown=True)
        self.query_one("#page-code", Input).focus()
        self.say("page", page)
        self.say("error", "")
        minutes = ceremony.expires_in_s // 60
        self.say("status", f"Open this in a browser within {minutes} minutes; it is in your clipboard.")
        self.app.copy_to_clipboard(page)
        await asyncio.to_thread(open_page, page)

    def _leave_passkey(self) -> None:
        self._ceremony = None
        self.show_field("page-code", shown=False)
        self.say("page", "")
        for name in self.fields:
            self.show_field(name, shown=name != "code")
        # Whoever goes on typing must not type a password where it can be read.
        self.query_one("#password", Input).focus()

    def action_close(self) -> None:
        """Out of the passkey first, then out of the dialog."""
        if self._ceremony is not None:
            self._leave_passkey()
            self.say("status", "")
        else:
            self.dismiss(None)
