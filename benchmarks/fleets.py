"""Simulated agents beside another measurement: `with simulated_fleet(server, agents=1000, seconds=60): …`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from benchmarks.measure import RunningServer
from cybercorp.bench.running import Load, run_load
from cybercorp.bench.server import ServerUnderLoad

CONNECTED_S = 120


@contextlib.contextmanager
def simulated_fleet(server: RunningServer, *, agents: int, seconds: float) -> Iterator[None]:
    """Agents `bench-00000…` that send once a second for `seconds` at most, from processes of their own.

    Entered when all are connected. Raises RuntimeError where that does not come about.
    """
    sending, ended = threading.Event(), threading.Event()
    failures: list[BaseException] = []
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[None]] = []

    def tell(text: str, share: float | None) -> None:
        if text.startswith("sending"):
            sending.set()

    async def run() -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        # The server goes with its folder: nobody has to remove the hosts one by one, as its pid says.
        target = ServerUnderLoad(server.url, server.token, pid=server.pid)
        await run_load(target, Load(agents=agents, seconds=seconds, settle=False), tell)

    def work() -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(run())
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            failures.append(error)
        finally:
            loop.close()
            ended.set()
            sending.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        if not sending.wait(CONNECTED_S) or ended.is_set():
            raise RuntimeError(f"the simulated fleet did not begin: {failures or 'too slow'}")
        yield
    finally:
        if not ended.is_set():
            with contextlib.suppress(RuntimeError):  # it ends at this very moment
                loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join()
