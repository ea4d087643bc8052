"""Damaged, foreign and newer files: a clear answer at the start, a hole instead of a wrong value afterwards."""

from __future__ import annotations

import contextlib
import math
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from cybercorp.core.errors import (
    ConflictError,
    StorageCorruptError,
    StorageError,
    StorageNewerError,
    StorageUnwritableError,
)
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.encoding.chunks import PREFIX_BYTES
from cybercorp.store.timeseries.storage.sqlite_schema import SCHEMA
from tests.unit.store.building import CPU, DISK, START_MS, ask, fill, open_store

MINUTE_MS = 60_000


class TestOpening:
    def test_no_database(self, tmp_path: Path) -> None:
        """A text file in its place: named, with the command that moves it away."""
        path = tmp_path / "samples.db"
        path.write_text("these are my notes, not a database")
        with pytest.raises(StorageCorruptError) as caught:
            open_store(tmp_path)
        assert str(path) in caught.value.message
        assert f"mv {path} {path}.damaged" in caught.value.hint
        assert "history before now is lost" in caught.value.hint
        assert path.read_text() == "these are my notes, not a database"

    def test_a_database_of_another_program(self, tmp_path: Path) -> None:
        """It is left as it was."""
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db")) as other:
            other.execute("CREATE TABLE notes (text)")
        with pytest.raises(StorageCorruptError, match="another program"):
            open_store(tmp_path)
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db")) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]

    def test_damaged_pages(self, tmp_path: Path) -> None:
        """A file whose pages were overwritten."""
        store = open_store(tmp_path)
        fill(store, 100)
        store.seal(everything=True)
        store.close()
        path = tmp_path / "samples.db"
        data = bytearray(path.read_bytes())
        data[100:20_000] = random.Random(1).randbytes(19_900)
        path.write_bytes(data)
        with pytest.raises(StorageCorruptError, match="damaged"):
            open_store(tmp_path)

    def test_a_newer_version(self, tmp_path: Path) -> None:
        """Which schema it has, which one this version knows, and what to install."""
        open_store(tmp_path).close()
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db", isolation_level=None)) as newer:
            newer.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
        with pytest.raises(StorageNewerError) as caught:
            open_store(tmp_path)
        assert f"schema 99; this version knows {SCHEMA}" in caught.value.message
        assert "Install that version" in caught.value.hint

    def test_an_unwritable_folder(self, tmp_path: Path) -> None:
        """A folder that cannot be made is named."""
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageUnwritableError) as caught:
            open_store(tmp_path / "file" / "data")
        assert "cannot be written" in caught.value.message
        assert "--data-dir" in caught.value.hint

    def test_a_folder_in_the_files_place(self, tmp_path: Path) -> None:
        """Not a file, so not writable as one."""
        (tmp_path / "samples.db").mkdir()
        with pytest.raises(StorageUnwritableError):
            open_store(tmp_path)

    def test_a_second_server(self, tmp_path: Path) -> None:
        """Two writers of one file would damage it: the second is told so, and can open it after the first."""
        first = open_store(tmp_path)
        with pytest.raises(ConflictError) as caught:
            open_store(tmp_path)
        assert caught.value.error_code == "storage_in_use"
        first.close()
        open_store(tmp_path).close()


class TestChunks:
    def _damaged(self, folder: Path, offset: int) -> None:
        """Three minutes in three chunks; one bit of the second is flipped, `offset` bytes from where it begins."""
        store = open_store(folder)
        for minute in range(3):
            fill(store, 60, start_ms=START_MS + minute * MINUTE_MS, first_seq=1 + minute * 60)
            store.seal(everything=True)
        store.close()
        path = folder / "samples.db"
        data = bytearray(path.read_bytes())
        with contextlib.closing(sqlite3.connect(path)) as database:
            (body,) = database.execute("SELECT body FROM chunk_bodies ORDER BY id LIMIT 1 OFFSET 1").fetchone()
        place = data.index(body)
        data[place + offset] ^= 16
        path.write_bytes(data)

    @pytest.mark.parametrize("offset", [0, 5, 20, PREFIX_BYTES + 1, PREFIX_BYTES + 9, PREFIX_BYTES + 26])
    def test_a_flipped_bit_leaves_a_hole(self, tmp_path: Path, offset: int) -> None:
        """In header, directory or timestamps: that minute is unknown, the others are right, and it is reported."""
        self._damaged(tmp_path, offset)
        with contextlib.closing(open_store(tmp_path)) as store:
            found = ask(store, START_MS, START_MS + 3 * MINUTE_MS, MINUTE_MS, Aggregation.COUNT)
            assert found[CPU.key][0] == found[CPU.key][2] == 60.0
            assert math.isnan(found[CPU.key][1]) or math.isnan(found[DISK.key][1])
            (said,) = store.damage()
            assert "host 1 is damaged" in said
            assert f"from {START_MS + MINUTE_MS} to {START_MS + 2 * MINUTE_MS - 1000} ms" in said
            assert store.stats().damaged == 1
            assert any("is damaged" in one for one in store.check())

    def test_a_damaged_series_does_not_hide_the_others(self, tmp_path: Path) -> None:
        """A bit in the last slice of a merged chunk: only that series has a hole; rows at an instant have NaN there."""
        store = open_store(tmp_path)
        for start_ms, first_seq in ((START_MS, 1), (START_MS + MINUTE_MS, 61), (START_MS + 7_200_000, 121)):
            fill(store, 60, start_ms=start_ms, first_seq=first_seq)
            store.seal(everything=True)
        store.close()
        path = tmp_path / "samples.db"
        with contextlib.closing(sqlite3.connect(path)) as database:
            (body,) = database.execute(
                "SELECT body FROM chunk_bodies JOIN chunks USING (id) WHERE kind = 1 ORDER BY start_ms"
            ).fetchone()
        data = bytearray(path.read_bytes())
        data[data.index(body) + len(body) - 1] ^= 1
        path.write_bytes(data)
        with contextlib.closing(open_store(tmp_path)) as store:
            found = ask(store, START_MS, START_MS + MINUTE_MS, MINUTE_MS, Aggregation.COUNT)
            assert found[CPU.key] == [60.0]
            assert math.isnan(found[DISK.key][0])
            row = store.row_at(1, START_MS, 0)
            assert row is not None
            assert store.latest(1) is not None

    def test_damage_is_never_merged_into_a_sound_chunk(self, tmp_path: Path) -> None:
        """The sealer leaves a run with a damaged chunk as it is, and goes on with everything else."""
        self._damaged(tmp_path, PREFIX_BYTES + 26)
        with contextlib.closing(open_store(tmp_path)) as store:
            fill(store, 60, start_ms=START_MS + 7_200_000, first_seq=1000)
            store.seal(everything=True)
            store.seal(everything=True)
            assert store.stats().chunks == 3  # the damaged one is set aside
            assert len(store.damage()) == 1


class TestLogAndPages:
    def test_a_damaged_log_entry_is_left_out_and_told(self, tmp_path: Path) -> None:
        """The rows of the other commits are there."""
        store = open_store(tmp_path)
        fill(store, 10)
        fill(store, 10, start_ms=START_MS + 10_000, first_seq=11)
        store.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db", isolation_level=None)) as database:
            (body,) = database.execute("SELECT body FROM log WHERE number = 1").fetchone()
            database.execute("UPDATE log SET body = ? WHERE number = 1", (body[:-1] + b"?",))
        with contextlib.closing(open_store(tmp_path)) as store:
            assert ask(store, START_MS, START_MS + 20_000, 20_000, Aggregation.COUNT)[CPU.key] == [10.0]
            (said,) = store.damage()
            assert "Log entry 1" in said
            assert store.check() == [said]

    @pytest.mark.parametrize("table", ["chunks", "catalogues", "marks", "streams"])
    def test_a_changed_index_row_is_left_out_and_told(self, tmp_path: Path, table: str) -> None:
        """What places a value has a checksum too: a changed number cannot put values in another host or series."""
        store = open_store(tmp_path)
        fill(store, 10)
        store.seal(everything=True)
        fill(store, 5, start_ms=START_MS + 10_000, first_seq=11)
        store.close()
        changes = {"chunks": "host = 2", "catalogues": "width = 1", "marks": "sealed = 0", "streams": "acked = 99"}
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db", isolation_level=None)) as database:
            database.execute(f"UPDATE {table} SET {changes[table]}")
        with contextlib.closing(open_store(tmp_path)) as store:
            assert f"table {table} is damaged" in store.damage()[0]
            assert ask(store, START_MS, START_MS + 20_000, 20_000, Aggregation.COUNT, host=2) == {}
            found = ask(store, START_MS, START_MS + 20_000, 20_000, Aggregation.MAX)
            assert found.get(DISK.key, [15_000.0]) == [15_000.0]
            assert store.acked_seq(1, "s") <= 15

    def test_every_truncation_of_the_log_opens(self, tmp_path: Path) -> None:
        """A write-ahead log that is cut anywhere: what was complete before the cut is there, in order."""
        store = open_store(tmp_path)
        for part in range(5):
            fill(store, 10, start_ms=START_MS + part * 10_000, first_seq=1 + part * 10)
        names = ["samples.db", "samples.db-wal"]
        for name in names:
            shutil.copy(tmp_path / name, tmp_path / f"{name}.copy")
        store.close()
        size = (tmp_path / "samples.db-wal.copy").stat().st_size
        seen = set()
        for cut in range(0, 4096 * 5, 331):
            folder = tmp_path / str(cut)
            folder.mkdir()
            for name in names:
                shutil.copy(tmp_path / f"{name}.copy", folder / name)
            with (folder / "samples.db-wal").open("rb+") as file:
                file.truncate(size - cut)
            with contextlib.closing(open_store(folder)) as cut_store:
                acked = cut_store.acked_seq(1, "s")
                seen.add(acked)
                assert acked % 10 == 0
                counted = ask(cut_store, START_MS, START_MS + 50_000, 50_000, Aggregation.COUNT).get(CPU.key, [0.0])
                assert counted == [float(acked)]
            shutil.rmtree(folder)
        assert {50, 40} <= seen

    @pytest.mark.parametrize("flips", [150, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
    def test_flipped_bits_never_give_a_wrong_value(self, tmp_path: Path, flips: int) -> None:
        """Single bits anywhere in the file: it opens or says why not, and every value that is told is right."""
        store = open_store(tmp_path)
        rows = dict(fill(store, 60))
        store.seal(everything=True)
        rows |= dict(fill(store, 20, start_ms=START_MS + MINUTE_MS, first_seq=61))
        store.close()
        path = tmp_path / "samples.db"
        original = path.read_bytes()
        chance = random.Random(flips)
        refused = 0
        for _ in range(flips):
            broken = bytearray(original)
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
            for leftover in tmp_path.iterdir():
                leftover.unlink()
            path.write_bytes(broken)
            try:
                with contextlib.closing(open_store(tmp_path)) as store:
                    found = ask(store, START_MS, START_MS + 80_000, 1000, Aggregation.LAST)
                    for key, values in found.items():
                        assert key in (CPU.key, DISK.key)
                        for second, value in enumerate(values):
                            assert math.isnan(value) or value == rows[START_MS + second * 1000][key]
                    latest = store.latest(1)
                    assert latest is None or latest.timestamp_ms in rows
                    store.check()
            except StorageError:
                refused += 1
        assert refused < flips / 2
