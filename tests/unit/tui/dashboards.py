"""A running dashboard over an in-memory fleet, and what stands on its screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.hosts import HostSummary
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.session import Session
from tests.unit.tui.fake_client import START_MS, FakeClient, summary


class Seat:
    """One person in front of a dashboard."""

    def __init__(self, app: DashboardApp, pilot: Pilot[int], client: FakeClient) -> None:
        self.app = app
        self.pilot = pilot
        self.client = client

    @property
    def clock(self) -> ManualClock:
        return self.client.clock

    def lines(self) -> list[str]:
        """The screen as text, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    def text(self) -> str:
        return "\n".join(self.lines())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and the second's tick come."""
        self.clock.advance(seconds)
        front = self.app.front
        assert front is not None
        front.tick()
        await self.pilot.pause()

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait for something that must become true."""
        try:
            async with asyncio.timeout(10):
                while not holds():
                    await self.pilot.pause()
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"never {what or 'true'}; the screen:\n{self.text()}") from None

    async def sees(self, words: str) -> None:
        """Wait until the screen shows these words."""
        await self.until(lambda: words in self.text(), f"seen: {words!r}")


@asynccontextmanager
async def dashboard(
    rows: Sequence[HostSummary] | int = 40,
    *,
    size: tuple[int, int] = (120, 40),
    client: FakeClient | None = None,
    notices: Callable[[], list[str]] | None = None,
    ascii_glyphs: bool = False,
    settled: bool = True,
    recorded: tuple[int, int] | None = None,
    title: str = "",
) -> AsyncIterator[Seat]:
    """A dashboard that shows its first picture (`settled`), with `rows` hosts; or that of a recording."""
    fleet = [summary(number) for number in range(rows)] if isinstance(rows, int) else list(rows)
    made = client or FakeClient(fleet, clock=ManualClock(now_ms=START_MS))
    session = Session(lambda: made, made.clock, recorded=recorded)
    app = DashboardApp(session, notices=notices, ascii_glyphs=ascii_glyphs, title=title)
    async with app.run_test(size=size, notifications=True) as pilot:
        seat = Seat(app, pilot, made)
        if settled:
            await seat.sees("LIVE" if recorded is None else "REC")
            await seat.until(lambda: ("metrics.query") in {name for name, _ in made.calls} or not fleet)
            await pilot.pause()
        yield seat
