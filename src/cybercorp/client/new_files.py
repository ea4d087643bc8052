"""A file that appears under its name when it is whole, and not at all when something goes wrong on the way."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from cybercorp.core.errors import ConflictError, StorageFullError, StorageUnwritableError
from cybercorp.security.display import safe_text

_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT
_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps beside its file


@contextlib.contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """The name of an empty file beside `path`, which takes its place when the block ends well.

    Ctrl-C and errors leave nothing. Raises ConflictError where there is a file already and `replace` is not set,
    StorageFullError, StorageUnwritableError.
    """
    shown = safe_text(str(path), 300)
    if path.is_dir():
        raise ConflictError(f"{shown} is a folder.", hint="Name a file in it.")
    if path.exists() and not replace:
        raise ConflictError(f"{shown} exists already.", hint="Choose another name, or replace it with --force.")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        descriptor = os.open(part, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(path)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        if error.errno in _NO_SPACE:
            raise StorageFullError(
                f"There is no room for {shown}.", hint="Free some, or choose another place."
            ) from error
        raise StorageUnwritableError(
            f"{shown} cannot be written: {error.strerror or error}.", hint="Choose another place."
        ) from error
    finally:
        for suffix in ("", *_BESIDE):
            part.with_name(part.name + suffix).unlink(missing_ok=True)
