"""The host screen as text, as a person sees it. `CYBERCORP_UPDATE_SNAPSHOTS=1` writes the pictures anew."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.protocol.processes import ProcessTable
from tests.unit.tui.host_calls import HostCalls
from tests.unit.tui.host_rows import HostRows
from tests.unit.tui.test_host_board import START, BoardApp, screen_text

PICTURES = Path(__file__).parent / "snapshots"
COMMANDS = (
    ("shop", "java", "java -jar /opt/shop/shop.jar --spring.profiles.active=prod"),
    ("www-data", "nginx", "nginx: worker process"),
    ("postgres", "postgres", "postgres: checkpointer"),
    ("root", "kworker/0:1", ""),
    ("web", "node", "/usr/bin/node /srv/web/server.js"),
)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day in the pictures are those of one place."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def busy_table(second: int, count: int = 60) -> ProcessTable:
    """Some processes whose CPU swings."""
    every = range(count)
    return ProcessTable(
        timestamp_ms=START + second * 1000,
        total=count,
        pid=[1 + 97 * row for row in every],
        parent=[0 if row == 0 else 1 if row < 5 else 1 + 97 * (row % 5) for row in every],
        name=[COMMANDS[row % 5][1] for row in every],
        command=[COMMANDS[row % 5][2] for row in every],
        user=[COMMANDS[row % 5][0] for row in every],
        state=["R" if row == 0 else "S" for row in every],
        cpu=[
            max(0.0, 2.5 / (row + 1) * (0.8 + 0.2 * math.sin(second / 5 + row))) if row < 20 else 0.0 for row in every
        ],
        cpu_time_s=[float(second)] * count,
        rss_bytes=[(4 << 30) // (row + 1) for row in every],
        threads=[1 + row * 3 % 40 for row in every],
        read_bytes=[0] * count,
        write_bytes=[1 << 20] * count,
        read_rate=[0.0] * count,
        write_rate=[1.1 * (1 << 20) if row == 0 else 0.0 for row in every],
        started_at_ms=[START - 3_600_000 * (row + 1) for row in every],
    )


async def picture(
    size: tuple[int, int], *, cores: int = 8, ascii_glyphs: bool = False, tree: bool = False, who: bool = False
) -> str:
    """What the board shows after five busy minutes."""
    rows = HostRows(cores=cores, sensors=True, disks=("nvme0n1", "nvme0n1p1", "sda"))
    app = BoardApp(HostCalls(rows), ascii_glyphs=ascii_glyphs)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        board = app.board
        board.take_catalogue(app.calls.catalogue())
        for second in range(300):
            rows.values["system.cpu.utilization"] = 0.5 + 0.45 * math.sin(second / 25)
            rows.values['system.memory.utilization{state="used"}'] = 0.6 + 0.04 * math.sin(second / 40)
            board.take_row(app.calls.row(START + second * 1000))
            if second >= 240:
                board.take_processes(app.calls.table(busy_table(second)))
        if tree:
            board.processes.table.action_tree()
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.pause()
        if who:
            board.next_chart()
            await pilot.press(*["left"] * 4)
            await app.workers.wait_for_complete()
            await pilot.pause()
        return "\n".join(line.rstrip() for line in screen_text(app)) + "\n"


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("host_80x24", (80, 24), {}),
        ("host_120x40", (120, 40), {}),
        ("host_200x50", (200, 50), {}),
        ("host_200x50_256_cores", (200, 50), {"cores": 256}),
        ("host_120x40_tree", (120, 40), {"tree": True}),
        ("host_80x24_ascii", (80, 24), {"ascii_glyphs": True}),
        ("host_80x24_who", (80, 24), {"who": True}),
        ("host_120x40_who", (120, 40), {"who": True}),
    ],
)
async def test_the_screen_looks_as_it_was_approved(
    name: str, size: tuple[int, int], options: dict[str, bool | int]
) -> None:
    """The picture is the approved one, cell for cell."""
    shown = await picture(size, **options)  # type: ignore[arg-type]
    path = PICTURES / f"{name}.txt"
    if os.environ.get("CYBERCORP_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")
