"""Draw docs/dashboard.svg and docs/fleet.svg from the real dashboard over a real server: pictures that never lie.

    python -m scripts.draw_dashboard [SECONDS]

`dashboard.svg` is this machine, live, after SECONDS of history; `fleet.svg` is a fleet of simulated agents that speak
the real protocol, and `time-machine.svg` its past, playing. Nothing in them is drawn by hand.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

from benchmarks.fleets import simulated_fleet
from benchmarks.measure import RunningServer, running_server
from cybercorp import AsyncClient
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.session import Session

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZE = (146, 42)
FLEET = 24
PAST = ("down", "plus", "plus", *["left_square_bracket"] * 9, "comma", "comma")
# What else runs on the machine that draws is nobody's business: the process table is filtered to our own.
OWN_PROCESSES = ("slash", *"cybercorp", "enter")


async def draw(server: RunningServer, seconds: float, keys: tuple[str, ...] = ()) -> str:
    """The dashboard as SVG after `seconds` of watching and these keys."""
    app = DashboardApp(Session(lambda: AsyncClient(server.url, token=server.token)))
    async with app.run_test(size=SIZE) as pilot:
        await asyncio.sleep(seconds)
        await pilot.press(*keys)
        await asyncio.sleep(2)
        return app.export_screenshot(title="cybercorp up")


def work(seconds: float) -> None:
    """Give the machine something to show: bursts of computing, some seconds apart."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        busy = time.monotonic() + 2.5
        while time.monotonic() < busy:
            sum(number * number for number in range(1000))
        time.sleep(4)


def write(name: str, svg: str) -> None:
    """Without the fonts that the renderer wants from another site: a picture must not call home."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code,monospace", "ui-monospace,Menlo,Consolas,monospace")
    (DOCS / name).write_text(svg, encoding="utf-8")
    print(f"written {DOCS / name}", file=sys.stderr)


async def main(seconds: float = 75) -> None:
    with running_server(agent=True) as server:
        await asyncio.to_thread(work, seconds)
        write("dashboard.svg", await draw(server, 12, OWN_PROCESSES))
    with running_server() as server, simulated_fleet(server, agents=FLEET, seconds=seconds + 20):
        await asyncio.sleep(seconds)
        write("fleet.svg", await draw(server, 8, ("down", "down", "down")))
        write("time-machine.svg", await draw(server, 4, PAST))


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:2])))
