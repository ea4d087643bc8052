"""The checks of `cybercorp doctor`, one function each; none of them changes anything but a probe file it removes."""

from __future__ import annotations

import contextlib
import importlib.metadata
import locale
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cybercorp.cli.findings import Finding, Verdict
from cybercorp.cli.launch.agent_states import AgentState, agent_states
from cybercorp.cli.launch.databases import RECORDS_FILE, SAMPLES_FILE, quick_check
from cybercorp.cli.launch.keys import examine_key
from cybercorp.cli.launch.local import choose_port, running_server
from cybercorp.cli.options import Options, wants_color
from cybercorp.cli.output.formats import on_terminal, shows_unicode, terminal_size
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import CyberCorpError, PortInUseError
from cybercorp.core.paths import ensure_private_dir
from cybercorp.core.settings import load_settings
from cybercorp.core.units import format_bytes, format_decimal
from cybercorp.core.version import VERSION
from cybercorp.protocol.servers import PROTOCOL_VERSION, ServerInfo
from cybercorp.server.settings import ServerSettings

_OLDEST_PYTHON = (3, 11)
_LIBRARIES = ("litestar", "uvicorn", "textual", "sqlalchemy", "msgspec", "numpy", "httpx", "websockets", "psutil")
_LEAST_WIDTH, _LEAST_HEIGHT = 80, 24
_LITTLE_SPACE, _NO_SPACE = 1 << 30, 64 << 20
_CLOCK_WARNING_MS = 2_000
_BUILT_MS = 1_767_225_600_000  # 2026-01-01: a clock before this is certainly wrong


def examine(options: Options) -> Iterator[Finding]:
    """Every check, in the order in which a fault in one explains the next."""
    yield _python()
    yield _libraries()
    yield _terminal(options)
    yield _data_folder(options.data_dir)
    yield _databases(options.data_dir)
    yield examine_key(options.data_dir)
    info, finding = _server(options)
    yield finding
    yield _clock(info)
    yield _port(options)
    yield from _agents(options.data_dir)


def _python() -> Finding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding(check="python", verdict=Verdict.FAILING, found=found, hint="Install Python 3.11 or later.")
    return Finding(check="python", verdict=Verdict.OK, found=found)


def _libraries() -> Finding:
    versions, missing = [], []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    sqlite = f"SQLite {sqlite3.sqlite_version}"
    if missing:
        return Finding(
            check="versions",
            verdict=Verdict.FAILING,
            found=f"not installed: {', '.join(missing)}",
            hint="Install CyberCorp again: python3 bootstrap.py install",
        )
    return Finding(
        check="versions",
        verdict=Verdict.OK,
        found=f"cybercorp {VERSION} (protocol {PROTOCOL_VERSION}), {sqlite}, {', '.join(versions)}",
    )


def _terminal(options: Options) -> Finding:
    if not on_terminal():
        return Finding(check="terminal", verdict=Verdict.OK, found="output is not a terminal; nothing to check")
    columns, lines = terminal_size()
    colors = "no colours"
    if wants_color(options):
        term, many = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
        colors = (
            "24-bit colours" if many in ("truecolor", "24bit") else "256 colours" if "256" in term else "16 colours"
        )
    found = f"{columns}×{lines}, {colors}, {locale.getpreferredencoding(False)}"
    if not shows_unicode():
        return Finding(
            check="terminal",
            verdict=Verdict.WARNING,
            found=f"{found}: braille and symbols are drawn with letters",
            hint="Set a UTF-8 locale: export LANG=C.UTF-8",
        )
    if columns < _LEAST_WIDTH or lines < _LEAST_HEIGHT:
        return Finding(
            check="terminal",
            verdict=Verdict.WARNING,
            found=f"{found}: small",
            hint=f"The dashboard needs {_LEAST_WIDTH}×{_LEAST_HEIGHT} to show everything.",
        )
    return Finding(check="terminal", verdict=Verdict.OK, found=found)


def _data_folder(data_dir: Path) -> Finding:
    if not data_dir.exists():
        return Finding(check="data", verdict=Verdict.OK, found=f"{data_dir} is not there yet; `cybercorp up` makes it")
    try:
        ensure_private_dir(data_dir)
        free = shutil.disk_usage(data_dir).free
        open_to_others = os.name == "posix" and data_dir.stat().st_mode & 0o077
    except CyberCorpError as error:
        return Finding(check="data", verdict=Verdict.FAILING, found=error.message, hint=error.hint)
    except OSError as error:
        return Finding(check="data", verdict=Verdict.FAILING, found=f"{data_dir}: {error.strerror}", hint="Mend it.")
    found = f"{data_dir}, {format_bytes(free)} free"
    if free < _NO_SPACE:
        return Finding(check="data", verdict=Verdict.FAILING, found=f"{found}: nearly full", hint="Free some space.")
    if free < _LITTLE_SPACE:
        return Finding(check="data", verdict=Verdict.WARNING, found=f"{found}: little", hint="Free some space.")
    if open_to_others:
        hint = f"Run: chmod 700 {data_dir}"
        return Finding(check="data", verdict=Verdict.WARNING, found=f"{found}; others can look into it", hint=hint)
    return Finding(check="data", verdict=Verdict.OK, found=found)


def _databases(data_dir: Path) -> Finding:
    with contextlib.suppress(CyberCorpError):  # a wrong setting is told where the server is started
        settings = load_settings(ServerSettings, program="server")
        if settings.database_url:
            from cybercorp.cli.launch.postgres import examine_database

            return examine_database(settings.database_url, settings.database_read_url)
    sizes = [
        f"{name} {format_bytes((data_dir / name).stat().st_size)}"
        for name in (RECORDS_FILE, SAMPLES_FILE)
        if (data_dir / name).exists()
    ]
    if not sizes:
        return Finding(check="database", verdict=Verdict.OK, found="none yet")
    problems = quick_check(data_dir)
    if problems:
        return Finding(
            check="database",
            verdict=Verdict.FAILING,
            found="; ".join(problems[:3]),
            hint="See all with: cybercorp server check. Move the damaged file away to start afresh.",
        )
    return Finding(check="database", verdict=Verdict.OK, found=f"{', '.join(sizes)}: intact")


def _server(options: Options) -> tuple[ServerInfo | None, Finding]:
    try:
        with options.client(timeout_s=5.0) as client:
            began = time.monotonic()
            info = client.server.info()
            took_ms = (time.monotonic() - began) * 1000
            url = client.url
    except CyberCorpError as error:
        idle = error.error_code in ("no_server", "unreachable")
        verdict = Verdict.WARNING if idle and options.url is None and options.profile is None else Verdict.FAILING
        return None, Finding(check="server", verdict=verdict, found=error.message, hint=error.hint)
    found = (
        f"{url} answers in {took_ms:.0f} ms: version {info.version}, {_count(info.hosts, 'host')}, "
        f"{_count(info.agents_connected, 'agent')}"
    )
    if not info.partial:
        found = f"{found}, {format_decimal(round(info.samples_per_second))} samples/s"
    if info.version != VERSION:
        hint = "Install the same version on both sides."
        return info, Finding(check="server", verdict=Verdict.WARNING, found=f"{found}; here is {VERSION}", hint=hint)
    if info.storage.damaged:
        hint = "What is damaged is left out of every answer. See it with: cybercorp server check"
        found = f"{found}; {_count(info.storage.damaged, 'part')} of its history damaged"
        return info, Finding(check="server", verdict=Verdict.WARNING, found=found, hint=hint)
    return info, Finding(check="server", verdict=Verdict.OK, found=found)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clock(info: ServerInfo | None) -> Finding:
    now_ms = SystemClock().now_ms()
    if now_ms < _BUILT_MS:
        return Finding(check="clock", verdict=Verdict.FAILING, found="it is before 2026", hint="Set the clock (NTP).")
    if info is None:
        return Finding(check="clock", verdict=Verdict.OK, found="plausible; no server to compare with")
    offset_ms = abs(now_ms - info.clock_ms)
    if offset_ms > _CLOCK_WARNING_MS:
        found = f"{offset_ms / 1000:.1f} s apart from the server's"
        return Finding(check="clock", verdict=Verdict.WARNING, found=found, hint="Let both follow NTP.")
    return Finding(check="clock", verdict=Verdict.OK, found=f"within {max(offset_ms, 1)} ms of the server's")


def _port(options: Options) -> Finding:
    try:
        port = load_settings(ServerSettings, program="server").port
        running = running_server(options.data_dir)
        if running is not None:
            return Finding(check="port", verdict=Verdict.OK, found=f"the server of this data listens at {running.url}")
        choose_port("127.0.0.1", port, given=True)
    except PortInUseError as error:
        hint = "`cybercorp up` takes the next free one; name another with --port."
        return Finding(check="port", verdict=Verdict.WARNING, found=error.message, hint=hint)
    except CyberCorpError as error:
        return Finding(check="port", verdict=Verdict.FAILING, found=error.message, hint=error.hint)
    return Finding(check="port", verdict=Verdict.OK, found=f"{port} is free")


def _agents(data_dir: Path) -> Iterator[Finding]:
    try:
        states = agent_states(data_dir)
    except CyberCorpError as error:
        yield Finding(check="agent", verdict=Verdict.FAILING, found=error.message, hint=error.hint)
        return
    if not states:
        hint = "Monitor this machine: cybercorp up, or what `cybercorp enroll` prints over there."
        yield Finding(check="agent", verdict=Verdict.WARNING, found="none has run here yet", hint=hint)
    for state in states:
        yield _agent(state)


def _agent(state: AgentState) -> Finding:
    waiting = f", its spool has {format_bytes(state.spool_bytes)}" if state.spool_bytes else ""
    if state.problem:
        return Finding(check="agent", verdict=Verdict.FAILING, found=f"{state.name}: {state.problem}")
    if not state.url:
        hint = "Join it: `cybercorp enroll`, on the server's side, prints the command."
        found = f"{state.name} runs (pid {state.pid}) and has not joined a server yet"
        return Finding(check="agent", verdict=Verdict.WARNING, found=found, hint=hint)
    if state.pid is None:
        found = f"{state.name} joined {state.url} and does not run{waiting}"
        return Finding(check="agent", verdict=Verdict.WARNING, found=found, hint="Start it: cybercorp agent run")
    found = f"{state.name} runs (pid {state.pid}) and sends to {state.url}{waiting}"
    return Finding(check="agent", verdict=Verdict.OK, found=found)
