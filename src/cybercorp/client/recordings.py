"""Recordings: save part of a server's history as one file, and say what is in such a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from cybercorp.client.calls import Params, complete
from cybercorp.client.new_files import new_file
from cybercorp.core.errors import (
    InvalidInputError,
    LimitExceededError,
)
from cybercorp.core.units import format_bytes
from cybercorp.protocol.recordings import (
    MAX_CATALOGUES,
    MAX_HOSTS,
    End,
    Frame,
    FrameReader,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
    SamplesBlock,
    damaged,
)

DEFAULT_MAX_BYTES = 1024**3
_READ_BYTES = 1 << 20
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT

Progress = Callable[[int, int], None]
"""Called with (rows so far, about how many there will be)."""


class RecordingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole and sound recording holds. `samples` are single values, `tables` process tables."""

    made_by: str
    made_at_ms: int
    since_ms: int
    until_ms: int
    hosts: list[RecordedHost]
    series: int
    rows: int
    samples: int
    tables: int
    events: int
    size_bytes: int


class Downloader(Protocol):
    """The part of the transport that this noun needs."""

    async def download(self, path: str, take: Callable[[bytes], None], *, params: Params = ()) -> None: ...


class AsyncRecordings:
    """Recordings of a server: `client.recordings`."""

    def __init__(self, transport: Downloader) -> None:
        self._transport = transport

    async def save(
        self,
        path: Path,
        *,
        hosts: str | Sequence[str] = "*",
        since: int,
        until: int,
        max_bytes: int = DEFAULT_MAX_BYTES,
        replace: bool = False,
        progress: Progress = lambda done, expected: None,
    ) -> RecordingInfo:
        """Save samples, process tables and events of these hosts from `since` to `until` (Unix ms) as one file.

            await client.recordings.save(Path("incident.ccrec"), hosts="web-*", since=start, until=end)

        The file appears under its name when it is whole; until then, and after an error, there is none. Raises
        ConflictError where there is one already, LimitExceededError where it would be larger than `max_bytes`.
        """
        with new_file(path, replace=replace) as part, part.open("r+b") as file:
            inspector = _Inspector()

            def take(data: bytes) -> None:
                inspector.feed(data)
                if inspector.size_bytes > max_bytes:
                    raise LimitExceededError(
                        f"The recording is larger than {format_bytes(max_bytes)}.",
                        hint="Choose fewer hosts or a shorter span, or allow more with --max-size.",
                    )
                file.write(data)
                progress(inspector.rows, inspector.expected)

            selectors = [hosts] if isinstance(hosts, str) else list(hosts)
            params: Params = [*(("selector", one) for one in selectors), ("since_ms", since), ("until_ms", until)]
            await self._transport.download("/api/v1/recordings", take, params=params)
            return inspector.finish()


class Recordings:
    """`AsyncRecordings` without await."""

    def __init__(self, recordings: AsyncRecordings) -> None:
        self._recordings = recordings

    def save(
        self,
        path: Path,
        *,
        hosts: str | Sequence[str] = "*",
        since: int,
        until: int,
        max_bytes: int = DEFAULT_MAX_BYTES,
        replace: bool = False,
        progress: Progress = lambda done, expected: None,
    ) -> RecordingInfo:
        """See `AsyncRecordings.save`."""
        return complete(
            self._recordings.save(
                path, hosts=hosts, since=since, until=until, max_bytes=max_bytes, replace=replace, progress=progress
            )
        )


def read_recording(path: Path) -> RecordingInfo:
    """Read a whole file, check every sum in it, and say what it holds. Nothing is unpacked.

    Raises InvalidInputError where it cannot be read, MalformedMessageError (`not_a_recording`, `damaged_recording`),
    VersionMismatchError.
    """
    inspector = _Inspector()
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                inspector.feed(data)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error.strerror}.", hint="Name a file that `cybercorp export incident` has made."
        ) from error
    return inspector.finish()


class _Inspector:
    """Looks at a file's bytes as they pass."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._manifest: Manifest | None = None
        self._hosts: list[RecordedHost] = []
        self._keys: dict[int, frozenset[str]] = {}
        self._series: set[tuple[int, str]] = set()
        self._end: End | None = None
        self.size_bytes = 0
        self.rows = 0

    @property
    def expected(self) -> int:
        return self._manifest.rows if self._manifest is not None else 0

    def feed(self, data: bytes) -> None:
        self.size_bytes += len(data)
        for frame in self._reader.feed(data):
            self._look(frame)

    def finish(self) -> RecordingInfo:
        self._reader.finish()
        manifest, end = self._manifest, self._end
        assert manifest is not None and end is not None  # noqa: PT018 - a finished file has both
        return RecordingInfo(
            made_by=manifest.made_by,
            made_at_ms=manifest.made_at_ms,
            since_ms=manifest.since_ms,
            until_ms=manifest.until_ms,
            hosts=self._hosts,
            series=len(self._series),
            rows=end.rows,
            samples=end.samples,
            tables=end.tables,
            events=end.events,
            size_bytes=self.size_bytes,
        )

    def _look(self, frame: Frame) -> None:
        match frame:
            case Manifest():
                self._manifest = frame
            case RecordedHost():
                self._hosts.append(frame)
            case RecordedCatalogue():
                self._keys[frame.number] = frozenset(one.key for one in frame.series)
            case SamplesBlock():
                self.rows += frame.rows
                self._series.update((frame.host, key) for key in self._keys.get(frame.catalogue, ()))
            case End():
                self._end = frame
            case _:
                pass
        if len(self._hosts) > MAX_HOSTS or len(self._keys) > MAX_CATALOGUES:
            raise damaged("it has too many hosts or catalogues")
