"""`cybercorp bench`: the server that is loaded, one of its own or a named one, and the run."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cybercorp.cli.launch.signals import signals_interrupt
from cybercorp.cli.options import Options
from cybercorp.core.errors import InvalidInputError

if TYPE_CHECKING:
    from cybercorp.bench.results import BenchResult
    from cybercorp.bench.running import Load
    from cybercorp.bench.server import ServerUnderLoad


def bench(options: Options, load: Load, *, database_url: str | None, foreign: bool) -> BenchResult:
    """Run a load. Raises CyberCorpError."""
    from cybercorp.bench.running import run_load

    with signals_interrupt(), _server(options, database_url, foreign=foreign) as server, _status() as tell:
        return asyncio.run(run_load(server, load, tell))


@contextlib.contextmanager
def _server(options: Options, database_url: str | None, *, foreign: bool) -> Iterator[ServerUnderLoad]:
    from cybercorp.bench.server import ServerUnderLoad, started_server

    if options.url is None and options.profile is None:
        folder: Path | None = options.named_data_dir
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with started_server(database_url, folder=folder) as server:
            yield server
        return
    if database_url is not None:
        raise InvalidInputError(
            "--database-url belongs to a server that bench starts itself.", hint="Leave --url and --profile away."
        )
    credential = options.credential()
    host = urlsplit(credential.url).hostname or ""
    if not foreign and not _is_loopback(host):
        raise InvalidInputError(
            f"{credential.url} is another machine; its hosts and people would feel the load.",
            hint="Say --foreign where that is what you want.",
        )
    yield ServerUnderLoad(credential.url, credential.token)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str, float | None], None]]:
    """A line on stderr that says what is done now; silent where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda text, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting a server", total=None)
        yield lambda text, share: progress.update(task, description=text, completed=share or 0, total=share and 1.0)
