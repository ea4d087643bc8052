"""The audit trail: who did what, and whether it was allowed; the list of events with other words."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.binding import BindingType

from cybercorp.client.inbox import Update
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.events import Event
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.events import PAGE, EventsScreen
from cybercorp.tui.state.audit import AUDIT_WORDS, as_event
from cybercorp.tui.state.events import EventWords

_LOOK_S = 5.0


class AuditScreen(EventsScreen):
    """Nobody is told of new records live: while the present is shown they are asked for every five seconds."""

    PLACE = Place.AUDIT
    BINDINGS: ClassVar[list[BindingType]] = bindings_of(Place.AUDIT)
    WORDS: ClassVar[EventWords] = AUDIT_WORDS
    FILTER_HINT: ClassVar[str] = "actor=ada  operation=login.*  severity=warning  or any word"
    NOUN: ClassVar[str] = "audit trail"
    NOTHING: ClassVar[tuple[str, str]] = ("Nothing was done yet", "Log-ins, refusals and changes are told here.")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(_LOOK_S, self.look)

    def take_update(self, update: Update) -> None:
        DashboardScreen.take_update(self, update)

    async def read(self, client: FleetClient, before: int | None, until_ms: int | None) -> list[Event]:
        page = await client.audit.list(before=before, until_ms=until_ms, limit=PAGE, newest=True)
        return [as_event(record) for record in page.records]

    @work(exclusive=True, group="newer")
    async def look(self) -> None:
        """Read what came since, where the present is shown."""
        newest = self.model.newest_id
        if not self.session.instant.is_live or not self.model.known or not self.session.connection.is_open:
            return
        try:
            client = await self.session.ready()
            page = await client.audit.list(after=newest, limit=1000, newest=newest is None)
        except CyberCorpError:
            return  # the header says what is wrong with the connection; the next look comes in five seconds
        moved = self.model.add([as_event(record) for record in page.records])
        if page.records:
            if moved > 0 and self.model.selected is not None:
                self.list.show_from(self.list.top_row + moved)
            self.renew_list()
