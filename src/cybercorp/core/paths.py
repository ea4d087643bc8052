"""Where things live on this machine, by the platform's convention; every folder can be named by a variable."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import platformdirs

from cybercorp.core.errors import StorageUnwritableError

APP = "cybercorp"


def data_dir() -> Path:
    """The data folder: `CYBERCORP_DATA_DIR`, else the platform's (Linux: `~/.local/share/cybercorp`)."""
    named = os.environ.get("CYBERCORP_DATA_DIR")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir(APP, appauthor=False))


def config_dir() -> Path:
    """The configuration folder: `CYBERCORP_CONFIG_DIR`, else the platform's (Linux: `~/.config/cybercorp`)."""
    named = os.environ.get("CYBERCORP_CONFIG_DIR")
    return Path(named).expanduser() if named else Path(platformdirs.user_config_dir(APP, appauthor=False))


def ensure_private_dir(path: Path) -> Path:
    """Make `path` (0700) where it is absent, and say clearly when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = path / f".write-probe-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink(missing_ok=True)  # another thread may have asked the same
    except OSError as error:
        raise StorageUnwritableError(
            f"The folder {path} cannot be written: {error.strerror or error}.",
            hint="Name another one with --data-dir or CYBERCORP_DATA_DIR, or mend its rights and free space.",
        ) from error
    return path


def write_private_file(path: Path, text: str) -> None:
    """Write `text` so that only this user can read it (0600).

    A crash, also of the machine, leaves the old file or the new one; after the return it leaves the new one.
    """
    ensure_private_dir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_dir(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageUnwritableError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Free some space or mend its rights.",
        ) from error


def sync_dir(path: Path) -> None:
    """Make durable which files a folder holds (fsync(2)): a new or renamed file can be lost with its name.

    Raises OSError. Does nothing on Windows, which opens no folders.
    """
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
