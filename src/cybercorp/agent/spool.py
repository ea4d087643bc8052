"""The spool: everything the agent has to say, on disk until the server has it, bounded, with numbers without holes.

Rows are appended in memory and written by `commit`, one transaction a tick. While the disk refuses, they wait in a
small memory buffer and are sent from there; a damaged file is moved aside and a new stream begins.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from cybercorp.agent.gaps import Gap
from cybercorp.agent.rows import Rows, first_bytes, grown, row_size
from cybercorp.agent.spool_file import FileState, SpoolFile, move_aside
from cybercorp.agent.spool_keys import spool_key
from cybercorp.core.clock import Clock
from cybercorp.core.ids import new_id
from cybercorp.protocol.agents import AnnounceCatalogue, Record, RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.metrics import Catalogue

SPOOL_FILE = "spool.db"
MEMORY_MAX_BYTES = 4 * 1024 * 1024
_TAIL_BYTES = 256 * 1024
_READ_COUNT = 512
_REOPEN_S = 10.0
_LARGE_BYTES = 1024 * 1024
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# Numbers left free after a power cut: no more rows than that can have been written since the last checkpoint (4 MiB).
POWER_CUT_MARGIN = 10_000


class Spool:
    """One stream of records. Not thread-safe: one caller.

    `report` gets one line for the log whenever something goes wrong or right again. `generation` changes when the
    stream or its numbers changed: what was sent under the old ones means nothing any more, connect anew.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        clock: Clock,
        report: Callable[[str], None],
        boot_id: str = "",
        memory_max_bytes: int = MEMORY_MAX_BYTES,
        key_source: str | None = None,
    ) -> None:
        """Raises SettingsError and AccessError where the key that `key_source` names cannot be had."""
        self._path = directory / SPOOL_FILE
        self._key = spool_key(key_source, directory)
        self._max_bytes = max_bytes
        self._memory_max_bytes = memory_max_bytes
        self._clock = clock
        self._report = report
        self._boot_id = boot_id
        self.stream = new_id("stream")
        self.generation = 0
        self.next_seq = 1
        self.acked_seq = 0
        self.failing = ""
        self._file: SpoolFile | None = None
        self._file_oldest = self._file_newest = self._file_bytes = 0
        self._unsaved = Rows()
        self._tail = Rows()  # the newest saved rows, so that a tick reads nothing back
        self._catalogues: dict[str, bytes] = {}
        self._new_catalogues: list[tuple[str, bytes]] = []
        self._reopen_at = 0.0
        self._was_large = True  # a file that was drained by an earlier run may have space to give back
        self._open()

    @property
    def size_bytes(self) -> int:
        """Bytes of the rows that are not acknowledged."""
        return self._file_bytes + self._unsaved.size_bytes

    @property
    def oldest_seq(self) -> int:
        """The oldest row that is kept, 0 where none is."""
        if self._file_newest > self.acked_seq:
            return max(self._file_oldest, self.acked_seq + 1)
        return self._unsaved.oldest_seq

    @property
    def newest_seq(self) -> int:
        """The newest row that is kept, 0 where none is."""
        if self._unsaved:
            return self._unsaved.newest_seq
        return self._file_newest if self._file_newest > self.acked_seq else 0

    def add_catalogue(self, catalogue: Catalogue) -> None:
        """Keep a catalogue with the rows that refer to it, so that they can be announced after a restart too."""
        if catalogue.id not in self._catalogues:
            body = msgspec.msgpack.encode(AnnounceCatalogue(id=catalogue.id, series=catalogue.series))
            self._catalogues = {catalogue.id: body}
            self._new_catalogues.append((catalogue.id, body))

    def catalogue(self, id: str) -> bytes | None:
        """The encoded `AnnounceCatalogue`, None where it is lost."""
        known = self._catalogues.get(id) or dict(self._new_catalogues).get(id)
        if known is None and self._file is not None:
            try:
                known = self._file.catalogue(id)
            except sqlite3.Error as error:
                self._failed(error)
        return known

    def append(self, type: RecordType, timestamp_ms: int, body: bytes, catalogue: str = "") -> int:
        """Add a row and return its number. It is safe after the next `commit`."""
        record = Record(self.next_seq, timestamp_ms, int(type), catalogue, body)
        self.next_seq += 1
        self._unsaved.add((record,))
        return record.seq

    def append_event(self, event: AgentEvent, timestamp_ms: int) -> int:
        """Add an event as a row."""
        return self.append(RecordType.EVENT, timestamp_ms, msgspec.msgpack.encode(event))

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is durable at the server: it goes with the next `commit`."""
        self.acked_seq = max(self.acked_seq, min(seq, self.next_seq - 1))
        self._unsaved.drop_until(self.acked_seq)

    def commit(self, sent_seq: int = 0) -> None:
        """Write what was appended and drop what was acknowledged, in one transaction.

        Where that makes the spool larger than it may be, the oldest rows after `sent_seq` (what is on its way is not
        touched) give way to one record that says exactly what is gone. Never raises: see `failing`.
        """
        if self._file is None and self._clock.monotonic() >= self._reopen_at:
            self._open()
        if self._file is not None:
            try:
                self._write(self._file, sent_seq)
            except sqlite3.Error as error:
                self._failed(error)
            else:
                if self.failing:
                    self._report("The spool can be written again.")
                    self.failing = ""
        if self._unsaved.size_bytes > self._memory_max_bytes:
            self._unsaved.replace_oldest_by_gap(self._memory_max_bytes * 15 // 16, sent_seq)

    def read_after(self, seq: int, max_bytes: int) -> list[Record]:
        """Rows after `seq` in order, about `max_bytes` of them, at least one where there is one."""
        found: list[Record] = []
        after = max(seq, self.acked_seq)
        if after < self._file_newest and not 0 < self._tail.oldest_seq <= after + 1:
            found = self._read_file(after, max_bytes)
            if not found or found[-1].seq < self._file_newest:
                return found  # later rows must not overtake those that cannot be read right now
        elif after < self._file_newest:
            found = list(islice((one for one in self._tail if one.seq > after), _READ_COUNT))
        return first_bytes([*found, *(one for one in self._unsaved if one.seq > after)], max_bytes)

    def lost(self, record: Record, reason: str) -> Record:
        """What to send in place of a record that nobody can read any more."""
        self._report(f"Record {record.seq} of the spool is reported as lost ({reason}).")
        at = record.timestamp_ms
        return Gap(first_seq=record.seq, last_seq=record.seq, from_ms=at, to_ms=at, count=1, reason=reason).record()

    def restart_stream(self) -> None:
        """Begin a new stream with the rows that are kept: the server knows more of this one than we do."""
        self.stream = new_id("stream")
        self.generation += 1
        shift = self.oldest_seq - 1
        self.acked_seq = 0
        if self._file is not None and self._file_newest:
            try:
                self._file.commit(state=self._state(), acked_seq=shift, rows=(), dropped=None, catalogues=())
                if shift > 0:
                    self._file.renumber(shift)
                self._load_bounds()
            except sqlite3.Error as error:
                self._failed(error)
        self._tail.clear()
        self._renumber_unsaved(self._file_newest + 1)

    def close(self) -> None:
        """Write what waits and close the file in order."""
        self.commit()
        if self._file is None:
            return
        try:
            if not self._unsaved:
                self._file.mark_clean()
            self._file.close()
        except sqlite3.Error as error:
            self._failed(error)
        self._file = None

    # -- the file ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            file = SpoolFile(self._path, self._key)
        except sqlite3.Error as error:
            if not _is_damaged(error):
                self._failed(error)
                return
            self._move_aside(error)
            try:
                file = SpoolFile(self._path, self._key)
            except sqlite3.Error as again:
                self._failed(again)
                return
        self._file = file
        try:
            self._adopt(file)
        except sqlite3.Error as error:
            self._failed(error)

    def _adopt(self, file: SpoolFile) -> None:
        state = file.state()
        self._load_bounds()
        if state is None:
            return
        if state.stream == self.stream:
            return  # opened again after a failure: what waits goes on where it stands
        waiting = bool(self._unsaved)
        self.stream = state.stream
        self.acked_seq = 0
        following = max(state.next_seq, self._file_newest + 1)
        # Rows that were sent and acknowledged may be missing after a power cut: their numbers must not be used again.
        power_cut = not state.clean and bool(state.boot_id) and state.boot_id != self._boot_id
        if power_cut:
            gap = Gap(
                first_seq=following,
                last_seq=following + POWER_CUT_MARGIN - 1,
                from_ms=self._clock.now_ms(),
                to_ms=self._clock.now_ms(),
                count=POWER_CUT_MARGIN,
                reason="power_lost",
            ).record()
            following = gap.seq
            self._unsaved.add_first(gap)
        self._renumber_unsaved(following)
        if waiting:
            self.generation += 1

    def _write(self, file: SpoolFile, sent_seq: int) -> None:
        rows = list(self._unsaved)
        dropped: tuple[int, int] | None = None
        gap: Record | None = None
        if self.size_bytes > self._max_bytes and self._file_newest > max(sent_seq, self.acked_seq):
            dropped, gap = self._plan_drop(file, sent_seq)
        catalogues = self._new_catalogues
        gone = file.commit(
            state=self._state(),
            acked_seq=self.acked_seq,
            rows=[gap, *rows] if gap else rows,
            dropped=dropped,
            catalogues=catalogues,
        )
        self._new_catalogues = []
        self._file_bytes += self._unsaved.size_bytes + (row_size(gap) if gap else 0) - gone
        self._unsaved.clear()
        self._tail.add(rows)
        self._tail.drop_until(self.acked_seq)
        self._tail.keep_newest(_TAIL_BYTES)
        if rows:
            self._file_newest = rows[-1].seq
        if gone or not self._file_oldest:
            self._file_oldest = file.oldest()
        if self._file_bytes > _LARGE_BYTES:
            self._was_large = True
        elif self._was_large:
            self._was_large = file.give_back_space()

    def _plan_drop(self, file: SpoolFile, sent_seq: int) -> tuple[tuple[int, int] | None, Record | None]:
        excess = self.size_bytes - self._max_bytes + min(self._max_bytes // 64, 1024 * 1024)
        gap: Gap | None = None
        after = first = max(sent_seq, self.acked_seq)
        while excess > 0:
            rows = file.oldest_after(after, _READ_COUNT)
            for seq, timestamp_ms, type_, size in rows:
                if excess <= 0:
                    break
                gap = grown(gap, seq, timestamp_ms, type_, file.body(seq) if type_ == RecordType.EVENT else b"")
                excess -= size
                after = seq
            if not rows:
                break
        if gap is None:
            return None, None
        self._tail.clear()
        return (first + 1, gap.last_seq), gap.record()

    def _read_file(self, after: int, max_bytes: int) -> list[Record]:
        if self._file is None:
            return []
        try:
            rows = self._file.read_after(after, count=_READ_COUNT, max_bytes=max_bytes)
        except sqlite3.Error as error:
            self._failed(error)
            return []
        return [record if intact else self.lost(record, "spool_damaged") for record, intact in rows]

    def _failed(self, error: sqlite3.Error) -> None:
        if _is_damaged(error) and self._file is not None:
            self._file.close()
            self._file = None
            self._move_aside(error)
            self._open()
            return
        if self._file is not None and _code(error) == sqlite3.SQLITE_IOERR:
            # After a failed write or fsync the handle's idea of the file may be wrong: only a new one can be trusted.
            self._file.close()
            self._file = None
        self.failing = str(error)
        self._report(
            f"The spool {self._path} cannot be written ({error}); "
            f"the newest {self._memory_max_bytes >> 20} MiB are kept in memory until it can."
        )
        if self._file is None:
            self._reopen_at = self._clock.monotonic() + _REOPEN_S

    def _move_aside(self, error: sqlite3.Error) -> None:
        now_ms = self._clock.now_ms()
        copy = move_aside(self._path, now_ms)
        self._report(f"The spool was damaged ({error}); it is kept as {copy} and a new one begins.")
        self.stream = new_id("stream")
        self.generation += 1
        self.acked_seq = 0
        self._file_oldest = self._file_newest = self._file_bytes = 0
        self._tail.clear()
        self._new_catalogues = list(self._catalogues.items())
        self._renumber_unsaved(1)
        self.append_event(
            AgentEvent(
                kind=EventKind.SAMPLES_DROPPED,
                severity=Severity.ERROR,
                message="The agent's spool was damaged: what it held and had not sent yet is lost.",
                attributes={"reason": "spool_damaged", "file": copy.name},
            ),
            now_ms,
        )

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    def _state(self) -> FileState:
        return FileState(self.stream, self.next_seq, self._boot_id, False)

    def _load_bounds(self) -> None:
        if self._file is not None:
            self._file_oldest, self._file_newest, self._file_bytes = self._file.bounds()

    def _renumber_unsaved(self, start: int) -> None:
        self._unsaved.renumber(start)
        self.next_seq = start + len(self._unsaved)


def _is_damaged(error: sqlite3.Error) -> bool:
    code = _code(error)
    # No code is on the errors that we raise ourselves for a file that is none of ours.
    return type(error) is sqlite3.DatabaseError if code is None else code in _DAMAGED


def _code(error: sqlite3.Error) -> int | None:
    extended = getattr(error, "sqlite_errorcode", None)
    return None if extended is None else extended & 0xFF
