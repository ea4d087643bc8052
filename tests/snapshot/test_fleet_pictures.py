"""The fleet as text, as a person sees it. `CYBERCORP_UPDATE_SNAPSHOTS=1` writes the pictures anew."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.protocol.events import Severity
from tests.unit.tui.dashboards import dashboard
from tests.unit.tui.fake_client import START_MS, FakeClient, event, summary

PICTURES = Path(__file__).parent / "fleet"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day in the pictures are those of one place."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def prod() -> FakeClient:
    """Forty-two hosts, and what happened to them in the last half hour."""
    client = FakeClient([summary(number) for number in range(42)])
    client.log = [
        event(1, severity=Severity.WARNING, time_ms=START_MS - 1_200_000),
        event(2, severity=Severity.ERROR, time_ms=START_MS - 247_000),
    ]
    client.past = {0: client.rows[:10]}
    return client


def approve(name: str, lines: list[str]) -> None:
    """Compare with the approved picture."""
    file = PICTURES / f"{name}.txt"
    picture = "\n".join(lines) + "\n"
    if os.environ.get("CYBERCORP_UPDATE_SNAPSHOTS"):
        file.write_text(picture, encoding="utf-8")
    assert picture == file.read_text(encoding="utf-8"), f"{name} looks different"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_live(size: tuple[int, int]) -> None:
    """The fleet at three sizes: columns dropped by importance, the width used."""
    async with dashboard(client=prod(), size=size) as seat:
        await seat.sees("✖")
        await seat.until(lambda: "▲" in seat.lines()[-3] and "✖" in seat.lines()[-3], "marks")
        await seat.press("down", "down")
        approve(f"live_{size[0]}x{size[1]}", seat.lines())


async def test_past() -> None:
    """A past instant: ◀, the cursor on the time bar, the hosts of then."""
    async with dashboard(client=prod(), size=(120, 24)) as seat:
        await seat.press("left_parenthesis")
        await seat.sees("10 hosts")
        await seat.sees("▼")
        approve("past_120x24", seat.lines())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_playing(size: tuple[int, int]) -> None:
    """The past plays: ▶ and how fast, the keys that it takes first in the footer, the past said in words."""
    async with dashboard(client=prod(), size=size) as seat:
        await seat.press("left_parenthesis")
        await seat.sees("10 hosts")
        await seat.press("full_stop", "full_stop")
        await seat.sees("▶ 60×")
        await seat.sees("space pause")
        seat.app.session.instant.playing = False  # the picture stands still
        seat.app.playing_changed()
        seat.app.session.instant.go(START_MS - 300_000)
        seat.app.session.instant.playing = True
        front = seat.app.front
        assert front is not None
        front.instant_changed()
        await seat.until(lambda: not front.catching_up, "drawn")
        seat.app.session.instant.playing = True
        front.renew()
        await seat.pilot.pause()
        approve(f"playing_{size[0]}x{size[1]}", seat.lines())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_recording(size: tuple[int, int]) -> None:
    """A recording: REC, its file's name, its last instant instead of the present, no line to add a host."""
    span = (START_MS - 1_500_000, START_MS - 60_000)
    async with dashboard(client=prod(), size=size, recorded=span, title="incident.ccrec") as seat:
        await seat.press("l")
        await seat.press("left_square_bracket", "left_square_bracket")
        await seat.sees("10 hosts")
        await seat.until(lambda: "▲" in seat.lines()[-3] and "✖" in seat.lines()[-3], "marks")
        approve(f"recording_{size[0]}x{size[1]}", seat.lines())


async def test_stale() -> None:
    """The server is away: the last picture, its age, the reason."""
    async with dashboard(client=prod(), size=(120, 24)) as seat:
        seat.client.connection.cut("The server cut the connection.", 20.0)
        await seat.sees("STALE")
        await seat.tick(14)
        approve("stale_120x24", seat.lines())


async def test_ascii() -> None:
    """A terminal without UTF-8."""
    async with dashboard(client=prod(), size=(100, 24), ascii_glyphs=True) as seat:
        approve("ascii_100x24", seat.lines())
