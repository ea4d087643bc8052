"""A search for a secret in files, as somebody does who has them: through encodings, compression and databases."""

from __future__ import annotations

import base64
import contextlib
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import zstandard

_ZSTD = b"\x28\xb5\x2f\xfd"
_MOST = 1 << 22
_DEEPEST = 3


def spellings(secret: bytes) -> list[bytes]:
    """The secret as it may stand in a file: plain, hexadecimal, base64 wherever it begins, in 16-bit letters."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b32encode(secret).rstrip(b"=")]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + secret)
        found.append(coded[(4 if shift else 0) : len(coded) - 4])
    with contextlib.suppress(UnicodeDecodeError):
        found.append(secret.decode().encode("utf-16-le"))
    return found


def where_found(folder: Path, secrets: Sequence[bytes]) -> list[str]:
    """The files, tables and columns in which a secret stands, packed or not. Pass secrets of twelve bytes or more."""
    wanted = [spelling for secret in secrets for spelling in spellings(secret)]
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        for name, data in _pieces(path):
            if _holds(data, wanted, 0):
                found.append(f"{path.relative_to(folder)}{name}")
    return found


def holds(data: bytes, *secrets: bytes) -> bool:
    """Whether the bytes give one of the secrets away."""
    return _holds(data, [spelling for secret in secrets for spelling in spellings(secret)], 0)


def _pieces(path: Path) -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(OSError):
        yield "", path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f":{name}", archive.read(name)
    if path.suffix == ".db":
        yield from _cells(path)


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of a copy of a database: in the file itself a long one is cut into pages."""
    with tempfile.TemporaryDirectory() as made:
        for beside in path.parent.glob(f"{path.name}*"):
            shutil.copy(beside, made)
        with contextlib.closing(sqlite3.connect(Path(made) / path.name)) as database:
            database.text_factory = bytes
            tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for row in database.execute(f'SELECT * FROM "{table.decode()}"'):
                    for value in row:
                        if isinstance(value, bytes):
                            yield f":{table.decode()}", value


def _holds(data: bytes, wanted: Sequence[bytes], depth: int) -> bool:
    if any(one in data for one in wanted):
        return True
    return depth < _DEEPEST and any(_holds(plain, wanted, depth + 1) for plain in _unpacked(data))


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Whatever looks compressed, as far as it can be read."""
    at = data.find(_ZSTD)
    while at >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            reader = zstandard.ZstdDecompressor().decompressobj()
            yield reader.decompress(data[at:])[:_MOST]
        at = data.find(_ZSTD, at + 1)
    at = data.find(b"\x78")
    while at >= 0:
        if int.from_bytes(data[at : at + 2], "big") % 31 == 0:
            with contextlib.suppress(zlib.error):
                plain = zlib.decompressobj().decompress(data[at:], _MOST)
                if len(plain) > 16:
                    yield plain
        at = data.find(b"\x78", at + 1)
