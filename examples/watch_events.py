"""Follow the fleet live with the asynchronous client: events as they happen, a line of numbers each second.

python examples/watch_events.py [SECONDS]
"""

import asyncio
import sys

from cybercorp import AsyncClient
from cybercorp.protocol.live import EventsUpdate, HostsUpdate
from cybercorp.security.display import safe_text


async def main(seconds: float = 10.0) -> None:
    async with AsyncClient() as fleet:
        try:
            async with asyncio.timeout(seconds):
                async for update in fleet.live("hosts", "events"):
                    if isinstance(update, HostsUpdate):
                        counts = update.window.counts
                        print(f"{counts.online} online, {counts.stale} stale, {counts.offline} offline", flush=True)
                    elif isinstance(update, EventsUpdate):
                        for event in update.events:
                            print(f"{event.severity}: {safe_text(event.message)}", flush=True)
        except TimeoutError:
            pass


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
