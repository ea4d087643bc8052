"""The file of a backup: a ZIP that any tool opens, with a manifest that knows the SHA-256 of every member.

    manifest.json          format, version, when, from where, counts, and of each member size and SHA-256
    records/TABLE.ndjson   the record tables, one JSON object a row
    samples/NAME.frames    frames: length (u32, little-endian), then a MessagePack array; chunks as they are stored

It is written beside its final name and gets that name when it is complete, synced and read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from cybercorp.core.errors import (
    ConflictError,
    InvalidInputError,
    StorageFullError,
    StorageUnwritableError,
    VersionMismatchError,
)
from cybercorp.core.version import VERSION
from cybercorp.security.passphrases import LockedKey
from cybercorp.store.backups.contents import FORMAT, RECORD_TABLES, Contents, Row, Source, Stream, Tell
from cybercorp.store.timeseries.storage.contract import CatalogueRow, ChunkEntry, HostMark, LogEntry

MANIFEST = "manifest.json"
# RuntimeError and NotImplementedError: the flags or the method of an entry say that it is encrypted or packed oddly.
_DAMAGE = (
    zipfile.BadZipFile,
    KeyError,
    EOFError,
    zlib.error,
    struct.error,
    msgspec.DecodeError,
    NotImplementedError,
    RuntimeError,
)
_LENGTH = struct.Struct("<I")
_MOST_FRAME_BYTES = 1 << 30
_MOST_MANIFEST_BYTES = 1 << 24
_PIECE_BYTES = 1 << 20
_TELL_ROWS = 256
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT


class Member(msgspec.Struct, frozen=True, kw_only=True):
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the file; with `key` a passphrase opens it."""

    format: int
    version: str
    made_at_ms: int
    source: str
    contents: Contents
    members: dict[str, Member]
    key: LockedKey | None = None


def write_archive(
    path: Path,
    source: Source,
    named: str,
    now_ms: int,
    tell: Tell,
    *,
    replace: bool = False,
    key: LockedKey | None = None,
) -> Manifest:
    """Write all of `source` (which people know as `named`). Readable by this user only.

    Raises ConflictError where `path` exists, StorageFullError, StorageUnwritableError, and the source's StorageErrors.
    """
    if path.exists() and not replace:
        raise ConflictError(f"{path} exists already.", hint="Choose another name, or replace it with --force.")
    partial = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            manifest = _Writer(file, source, tell).write(named, now_ms, key)
            file.flush()
            os.fsync(file.fileno())
        with Archive(partial) as archive:
            archive.verify(lambda done, expected: None)
        partial.replace(path)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFullError(f"No space is left for {path}.", hint="Name a file on a larger disk.") from error
        reason = error.strerror or str(error)
        raise StorageUnwritableError(f"{path} cannot be written: {reason}.", hint="Name another file.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return manifest


class _Writer:
    def __init__(self, file: IO[bytes], source: Source, tell: Tell) -> None:
        self._zip = zipfile.ZipFile(file, "w")
        self._source = source
        self._tell = tell
        self._members: dict[str, Member] = {}
        self._done = 0

    def write(self, named: str, now_ms: int, key: LockedKey | None) -> Manifest:
        source = self._source
        for table in RECORD_TABLES:
            self._member(f"records/{table}.ndjson", _lines(source.records(table)), zipfile.ZIP_DEFLATED)
        self._member("samples/catalogues.frames", _frames(source.catalogues()), zipfile.ZIP_DEFLATED)
        self._member("samples/streams.frames", _frames(source.streams()), zipfile.ZIP_DEFLATED)
        self._member("samples/marks.frames", _frames(source.marks()), zipfile.ZIP_DEFLATED)
        self._member("samples/log.frames", _frames(source.log()))
        self._member("samples/chunks.frames", _frames((*entry, body) for entry, body in source.chunks()))
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            made_at_ms=now_ms,
            source=named,
            contents=source.contents,
            members=self._members,
            key=key,
        )
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.close()
        return manifest

    def _member(self, name: str, rows: Iterable[bytes], method: int = zipfile.ZIP_STORED) -> None:
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        info.external_attr = 0o600 << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as member:
            for row in rows:
                member.write(row)
                digest.update(row)
                size += len(row)
                self._done += 1
                if not self._done % _TELL_ROWS:
                    self._tell(self._done, self._source.contents.counts.total)
        self._members[name] = Member(size_bytes=size, sha256=digest.hexdigest())


class Archive:
    """A backup's file as a Source. A file comes from anywhere: nothing in it is trusted before `verify`."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInputError for what is no backup or is damaged, and VersionMismatchError."""
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            info = self._zip.getinfo(MANIFEST)
            if info.file_size > _MOST_MANIFEST_BYTES:
                raise self._damaged("its manifest is too long")
            self.manifest = msgspec.json.decode(self._zip.read(info), type=Manifest)
        except OSError as error:
            raise InvalidInputError(
                f"{path} cannot be read: {error.strerror or error}.", hint="Check its name and rights."
            ) from error
        except (zipfile.BadZipFile, KeyError, zlib.error, msgspec.DecodeError, NotImplementedError) as error:
            raise self._damaged("it is no backup, or not all of one") from error
        if self.manifest.format != FORMAT:
            raise VersionMismatchError(
                f"{path} was made by CyberCorp {self.manifest.version[:40]} in format {self.manifest.format}.",
                hint="Restore it with that version.",
            )
        self.contents = self.manifest.contents

    def verify(self, tell: Tell) -> None:
        """Read everything once and compare its SHA-256. Raises InvalidInputError."""
        expected = sum(member.size_bytes for member in self.manifest.members.values())
        done = 0
        for name, member in self.manifest.members.items():
            digest = hashlib.sha256()
            with self._opened(name) as file:
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
                    done += len(piece)
                    tell(done, expected)
            if digest.hexdigest() != member.sha256:
                raise self._damaged(f"{name} is not what was written")

    def records(self, table: str) -> Iterator[Row]:
        with self._opened(f"records/{table}.ndjson") as file:
            for line in file:
                yield msgspec.json.decode(line, type=dict[str, Any])

    def catalogues(self) -> Iterator[CatalogueRow]:
        return map(CatalogueRow._make, self._rows("catalogues"))

    def streams(self) -> Iterator[Stream]:
        return map(Stream._make, self._rows("streams"))

    def marks(self) -> Iterator[HostMark]:
        return map(HostMark._make, self._rows("marks"))

    def log(self) -> Iterator[LogEntry]:
        return map(LogEntry._make, self._rows("log"))

    def chunks(self) -> Iterator[tuple[ChunkEntry, bytes]]:
        for *entry, body in self._rows("chunks"):
            yield ChunkEntry._make(entry), body

    def close(self) -> None:
        self._zip.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, name: str) -> Iterator[Sequence[Any]]:
        with self._opened(f"samples/{name}.frames") as file:
            while prefix := file.read(_LENGTH.size):
                (length,) = _LENGTH.unpack(prefix)
                if length > _MOST_FRAME_BYTES:
                    raise self._damaged(f"a frame of {name} is too long")
                yield msgspec.msgpack.decode(file.read(length), type=list[Any])

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(name) as file:
                yield file
        except OSError as error:
            raise InvalidInputError(f"{self._path} cannot be read: {error}.", hint="Check the disk.") from error
        except _DAMAGE as error:
            raise self._damaged(f"{name} cannot be read") from error

    def _damaged(self, reason: str) -> InvalidInputError:
        return InvalidInputError(f"{self._path} cannot be restored: {reason}.", hint="Use another copy of it.")


def _lines(rows: Iterable[Row]) -> Iterator[bytes]:
    return (msgspec.json.encode(row) + b"\n" for row in rows)


def _frames(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    encode: Callable[[Sequence[Any]], bytes] = msgspec.msgpack.Encoder().encode
    for row in rows:
        frame = encode(tuple(row))
        yield _LENGTH.pack(len(frame)) + frame
