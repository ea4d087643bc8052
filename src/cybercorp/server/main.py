"""`run_server`: open the databases, write the owner's credential, serve until told to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.errors import CyberCorpError, InternalError, InvalidInputError, PortInUseError
from cybercorp.core.paths import ensure_private_dir
from cybercorp.core.version import VERSION
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.security.credentials import OWNER_FILE, Credential, read_credential, write_credential
from cybercorp.security.key_sources import find_key
from cybercorp.server.app import make_app
from cybercorp.server.exposure import make_tls
from cybercorp.server.http_protocol import GuardedProtocol
from cybercorp.server.jobs.restoring import restore_history, restore_rows
from cybercorp.server.limits import raise_file_limit
from cybercorp.server.log import write_lines
from cybercorp.server.opening import open_records
from cybercorp.server.services.keys import open_vault
from cybercorp.server.settings import ServerSettings
from cybercorp.server.tls import TlsContext
from cybercorp.server.tls_handshake import TlsHandshake
from cybercorp.server.waiting import Waiting
from cybercorp.server.websocket.direct import DirectProtocol
from cybercorp.server.wiring import Services, make_services
from cybercorp.store.database_urls import shown
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage

SAMPLES_FILE = "samples.db"
_STOP_S = 5
_RESTORING_S = 0.25  # after that the rest of it goes on while the server serves
_UNTAKEN_MS = 30_000
_COLLECT = (
    10_000,
    20,
    20,
)  # rows come and go by reference counts: looking for cycles as often as usual holds up the loop
_UNSENT_BYTES = 128 * 1024
_LOG = logging.getLogger("cybercorp.server")


def run_server(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises PortInUseError, SettingsError, ConflictError (`storage_in_use`: another server has this data) and the
    StorageErrors of files that cannot be used.
    """
    settings.check()
    write_lines(sys.stderr)
    raise_file_limit()
    listener = listen(settings.host, settings.port)
    try:
        if sys.platform == "win32":
            asyncio.run(serve(settings, listener, SystemClock()))
        else:
            import uvloop

            uvloop.run(serve(settings, listener, SystemClock()))
    finally:
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortInUseError and InvalidInputError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio sets TCP_NODELAY only then, without which each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # whoever takes no bytes for that long is cut by the kernel
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # else the kernel keeps 4 MB of old states for a viewer that is slow
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except (OSError, UnicodeError, TypeError) as error:  # TypeError: a name that IDNA cannot encode
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"Port {port} on {host} is in use by another program.",
                hint="Choose another one with --port (0: any free one).",
            ) from error
        raise InvalidInputError(
            f"The server cannot listen on {host[:100]}:{port}: {getattr(error, 'strerror', None) or error}.",
            hint="Check --host and --port.",
        ) from error
    listener.set_inheritable(True)
    return listener


async def serve(
    settings: ServerSettings, listener: socket.socket, clock: Clock, *, stop: asyncio.Event | None = None
) -> None:
    """Open, serve on `listener`, close. `stop` ends it from within, as a signal does from outside."""
    folder = ensure_private_dir(settings.data_path())
    records = await open_records(settings, folder)
    try:
        limits = TimeSeriesSettings(
            retention_ms=settings.retention_ms,
            processes_retention_ms=settings.retention_ms,
            minutes_retention_ms=settings.retention_minutes_ms,
            hours_retention_ms=settings.retention_hours_ms,
            max_bytes=settings.max_bytes,
        )
        store = await asyncio.to_thread(_open_samples, settings, folder, limits, clock)
        try:
            await serve_store(settings, listener, clock, records, store, folder, stop or asyncio.Event())
        finally:
            await asyncio.to_thread(store.close)
    finally:
        await records.close()


def _open_samples(settings: ServerSettings, folder: Path, limits: TimeSeriesSettings, clock: Clock) -> TimeSeries:
    path = folder / SAMPLES_FILE
    if not settings.database_url:
        return TimeSeries.open(path, limits, clock)
    storage = PostgresStorage(settings.database_url, settings.database_read_url or "")
    try:
        return TimeSeries(storage, path, limits, clock)
    except BaseException:
        storage.close()
        raise


async def serve_store(
    settings: ServerSettings,
    listener: socket.socket,
    clock: Clock,
    records: Records,
    store: TimeSeries,
    folder: Path,
    stop: asyncio.Event,
    *,
    recorded: bool = False,
) -> None:
    """Serve what is open already, until `stop`. `recorded`: it is a recording, which nobody may change."""
    before = find_key(settings.old_key_source, folder) if settings.old_key_source else None
    made = await records.data_keys.list_()
    key = find_key(settings.key_source, folder, may_make=not made)
    vault = await open_vault(records.data_keys, key, clock, before)
    store.encrypt_with(vault)
    services = make_services(settings, clock, records, store, vault)
    if recorded:
        services = replace(services, recorded=True)
        services.access.viewing_only = True
        services.refusals.enabled = False
    await services.policy.load()
    await services.agent_keys.load()
    hosts = [services.fleet.add(row) for row in await records.hosts.list_()]
    for host in hosts:
        host.agent_state = services.agent_keys.state_of(host.id)
    await asyncio.to_thread(restore_rows, services, hosts)
    restoring = asyncio.create_task(restore_history(services, hosts))
    await asyncio.wait({restoring}, timeout=_RESTORING_S)
    tls = None if recorded else await make_tls(services, folder)
    url = await _write_owner(services, listener, folder, secure=tls is not None)
    services.certificates.on_shown = lambda: _keep_pins(services, folder)
    if not recorded:
        await services.audit.close_open_intents()
        await _note(services, "server.start", EventKind.SERVER_STARTED, f"The server {VERSION} started.")
    server = uvicorn.Server(_config(services, tls))
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():  # else somebody else's process, and signals, and memory
        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
        gc.collect()
        gc.freeze()  # what start-up made stays: the collector need not walk it again
        gc.set_threshold(*_COLLECT)
    serving = asyncio.create_task(server._serve([listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        where = shown(settings.database_url) if settings.database_url else folder
        _LOG.info("CyberCorp %s is ready at %s; data in %s", VERSION, url, where)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        services.servers.stopping = True
        services.sockets.stop()
        server.should_exit = True
        await serving
        if not server.started:
            raise InternalError("The server could not start.", hint="Its log says why; please report it.")
    finally:
        stopping.cancel()
        restoring.cancel()
        if not recorded:
            await _note(services, "server.stop", EventKind.SERVER_STOPPED, "The server stopped.")
        await services.refusals.flush(everything=True)
        await services.audit.close()
        services.metrics.close()
        services.ingest.close()
        _LOG.info("The server stopped.")


async def _note(services: Services, operation: str, kind: EventKind, message: str) -> None:
    try:
        told = {"version": VERSION}
        await services.audit.record(operation, actor_name="the server", target_kind="server", detail=told)
        await services.events.note(kind, message)
    except CyberCorpError as error:  # on a full disk what is stored can still be looked at
        _LOG.warning("%s", error)


def _config(services: Services, tls: TlsContext | None) -> uvicorn.Config:
    waiting = Waiting()
    protocol: Any = partial(GuardedProtocol, waiting=waiting)
    if tls is not None:
        protocol = partial(TlsHandshake, context=tls.context, waiting=waiting)
    return uvicorn.Config(
        make_app(services),
        loop="none",
        http=protocol,
        ws=DirectProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=True,
        timeout_graceful_shutdown=_STOP_S,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=32 * 1024,
    )


async def _write_owner(services: Services, listener: socket.socket, folder: Path, *, secure: bool) -> str:
    """The local owner's credential, 0600. A token that is still good stays, so that open dashboards go on."""
    host, port = listener.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    url = f"{'https' if secure else 'http'}://{reached}:{port}"
    path = folder / OWNER_FILE
    try:
        kept = read_credential(path)
    except CyberCorpError:
        kept = None  # readable by others, or damaged: it is replaced
    if kept is None or not await services.access.keep_owner_token(kept.token):
        kept = Credential(url=url, token=await services.access.make_owner_token())
    pins = tuple(services.authority.pins) if secure else ()
    authority = services.authority.authorities if pins else ""
    write_credential(path, Credential(url=url, token=kept.token, pins=pins, authority=authority))
    return url


def _keep_pins(services: Services, folder: Path) -> None:
    """The authority was rotated while the server runs: its own owner knows the new keys, and no more the old one."""
    path = folder / OWNER_FILE
    try:
        kept = read_credential(path)
        if kept is not None and kept.pins != tuple(services.authority.pins):
            known = msgspec.structs.replace(
                kept, pins=tuple(services.authority.pins), authority=services.authority.authorities
            )
            write_credential(path, known)
    except (CyberCorpError, OSError) as error:  # the certificate is shown all the same
        _LOG.warning("%s could not be brought up to date: %s", path, error)
