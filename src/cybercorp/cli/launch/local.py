"""The server of a data folder: is one running, may we start one, on which port."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from cybercorp.client.synchronous import Client
from cybercorp.core.errors import CyberCorpError, InvalidInputError, PortInUseError
from cybercorp.security.credentials import OWNER_FILE, Credential, read_credential

if sys.platform != "win32":
    import fcntl

LOCK_FILE = "up.lock"
_ANSWER_S = 2.0
_NEXT_PORTS = 50


def running_server(data_dir: Path) -> Credential | None:
    """The credential of the server that runs on this data and answers, or None.

    Raises AccessError and InvalidInputError where the credential cannot be used.
    """
    credential = read_credential(data_dir / OWNER_FILE)
    if credential is None:
        return None
    try:
        with Client(credential.url, token=credential.token, timeout_s=_ANSWER_S) as client:
            client.server.info()
    except CyberCorpError:
        return None  # gone, or another server has the port now: our token says nothing there
    return credential


@contextlib.contextmanager
def only_up(data_dir: Path) -> Iterator[bool]:
    """Hold the data folder's lock; False where another `up` holds it. The kernel frees it, however we end."""
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def choose_port(host: str, port: int, *, given: bool) -> int:
    """The port to listen on: the wanted one, 0 meaning any; where it is taken and was not given, the next free one.

    Raises PortInUseError, and InvalidInputError for a port that this user may not open.
    """
    candidates = [port] if given or port == 0 else range(port, min(port + _NEXT_PORTS, 65536))
    for candidate in candidates:
        with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise InvalidInputError(
                    f"Port {candidate} on {host} cannot be opened: {error.strerror}.",
                    hint="Choose another one with --port; those below 1024 need root.",
                ) from error
            return int(probe.getsockname()[1])
    raise PortInUseError(
        f"Port {port} on {host} is in use by another program.", hint="Choose another one with --port (0: any free one)."
    )


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
