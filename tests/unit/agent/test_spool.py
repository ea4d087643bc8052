"""The spool: nothing that was committed is lost, numbers have no holes, and what does not fit is reported exactly."""

import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.agent.gaps import Gap, read_gap
from cybercorp.agent.spool import POWER_CUT_MARGIN, SPOOL_FILE, Spool
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import AnnounceCatalogue, Record, RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.metrics import Series, make_catalogue

MIB = 1024 * 1024


class Lines(list[str]):
    """What the spool reported."""

    def __call__(self, line: str) -> None:
        self.append(line)


def _spool(folder: Path, *, max_bytes: int = 64 * MIB, boot: str = "boot-1", memory: int = MIB) -> Spool:
    return Spool(
        folder, max_bytes=max_bytes, clock=ManualClock(), report=Lines(), boot_id=boot, memory_max_bytes=memory
    )


def _lines(spool: Spool) -> Lines:
    lines = spool._report
    assert isinstance(lines, Lines)
    return lines


def _fill(spool: Spool, count: int, size: int = 100, start_ms: int = 0) -> None:
    for index in range(count):
        spool.append(RecordType.SAMPLES, start_ms + index * 1000, bytes([index % 256]) * size, "cat")
        spool.commit()


def _everything(spool: Spool) -> list[Record]:
    found: list[Record] = []
    after = 0
    while batch := spool.read_after(after, 10_000):
        found += batch
        after = batch[-1].seq
    return found


def _covered(records: list[Record]) -> list[int]:
    """Every number that the records stand for: their own, and those that they report as lost."""
    numbers: list[int] = []
    for one in records:
        gap = read_gap(one.type, one.body)
        numbers += range(gap.first_seq, gap.last_seq + 1) if gap else [one.seq]
    return numbers


def _gaps(records: list[Record]) -> list[Gap]:
    return [gap for one in records if (gap := read_gap(one.type, one.body))]


def test_rows_come_back_in_order_and_whole(tmp_path: Path) -> None:
    """What goes in comes out, batch by batch, from disk and from memory alike."""
    spool = _spool(tmp_path)
    _fill(spool, 300, size=2000)
    spool.append(RecordType.EVENT, 7, b"not committed yet")
    records = _everything(spool)
    assert [one.seq for one in records] == list(range(1, 302))
    assert records[41] == Record(42, 41_000, 1, "cat", bytes([41]) * 2000)
    assert records[-1].body == b"not committed yet"
    batch = spool.read_after(0, 5000)
    assert 2 <= len(batch) <= 3
    spool.close()


def test_acknowledged_rows_go_and_the_numbers_go_on(tmp_path: Path) -> None:
    """After a restart the next number follows the last one ever given, also when the spool is empty."""
    spool = _spool(tmp_path)
    _fill(spool, 10)
    spool.acknowledge(4)
    spool.commit()
    assert (spool.oldest_seq, spool.newest_seq) == (5, 10)
    spool.acknowledge(10)
    spool.commit()
    assert (spool.oldest_seq, spool.newest_seq, spool.size_bytes) == (0, 0, 0)
    stream = spool.stream
    spool.close()
    again = _spool(tmp_path)
    assert again.stream == stream
    assert again.append(RecordType.SAMPLES, 0, b"x", "cat") == 11
    again.close()


def test_a_restart_finds_what_was_committed(tmp_path: Path) -> None:
    """Rows and catalogues survive, the stream is the same."""
    catalogue = make_catalogue([Series(name="a"), Series(name="b")])
    spool = _spool(tmp_path)
    spool.add_catalogue(catalogue)
    spool.append(RecordType.SAMPLES, 1, b"12345678" * 2, catalogue.id)
    spool.commit()
    stream = spool.stream
    spool.close()
    again = _spool(tmp_path)
    assert again.stream == stream
    assert [one.body for one in _everything(again)] == [b"12345678" * 2]
    announced = again.catalogue(catalogue.id)
    assert announced is not None
    assert msgspec.msgpack.decode(announced, type=AnnounceCatalogue).to_catalogue() == catalogue
    assert again.catalogue("unknown") is None
    again.close()


def test_catalogues_that_no_row_needs_are_forgotten(tmp_path: Path) -> None:
    """A machine whose devices come and go does not fill its spool with catalogues."""
    spool = _spool(tmp_path)
    for number in range(50):
        catalogue = make_catalogue([Series(name=f"metric-{number}")])
        spool.add_catalogue(catalogue)
        spool.append(RecordType.SAMPLES, number, b"", catalogue.id)
        spool.acknowledge(spool.next_seq - 2)
        spool.commit()
    spool.close()
    with sqlite3.connect(tmp_path / SPOOL_FILE) as db:
        assert db.execute("select count(*) from catalogues").fetchone()[0] <= 3
    db.close()


def test_a_full_spool_drops_the_oldest_and_reports_exactly_these(tmp_path: Path) -> None:
    """One record stands where the dropped ones stood: first, last, times and count are exact."""
    spool = _spool(tmp_path, max_bytes=100_000)
    _fill(spool, 500, size=1000)
    records = _everything(spool)
    (gap,) = _gaps(records)
    assert records[0].seq == gap.last_seq
    assert gap.first_seq == 1
    assert gap.count == gap.last_seq
    assert (gap.from_ms, gap.to_ms) == (0, (gap.last_seq - 1) * 1000)
    assert _covered(records) == list(range(1, 501))
    assert spool.size_bytes <= 110_000
    spool.close()


def test_a_growing_gap_stays_one_record(tmp_path: Path) -> None:
    """An outage of days is one event, also over restarts."""
    for round_ in range(4):
        spool = _spool(tmp_path, max_bytes=50_000)
        _fill(spool, 200, size=1000, start_ms=round_ * 200_000)
        records = _everything(spool)
        assert len(_gaps(records)) == 1
        assert _covered(records) == list(range(1, (round_ + 1) * 200 + 1))
        spool.close()


def test_what_is_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    """Rows that were sent may be stored already: the gap begins after them."""
    spool = _spool(tmp_path, max_bytes=20_000)
    _fill(spool, 10, size=1000)
    for index in range(100):
        spool.append(RecordType.SAMPLES, index, b"x" * 1000, "cat")
        spool.commit(sent_seq=5)
    records = _everything(spool)
    assert [one.seq for one in records[:5]] == [1, 2, 3, 4, 5]
    assert _gaps(records)[0].first_seq == 6
    assert _covered(records) == list(range(1, 111))
    spool.close()


@settings(max_examples=40)
@given(
    steps=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3000), st.booleans(), st.booleans()), max_size=25),
    max_bytes=st.integers(5_000, 60_000),
)
def test_every_number_is_stored_acknowledged_or_reported(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool, bool]], max_bytes: int
) -> None:
    """However rows come, go and overflow, with restarts in between: no number is missing and none is there twice."""
    folder = tmp_path_factory.mktemp("spool")
    spool = _spool(folder, max_bytes=max_bytes)
    received: list[Record] = []
    for count, size, acknowledge, restart in steps:
        sent = spool.read_after(spool.acked_seq, 8_000)
        sent_seq = sent[-1].seq if sent else 0
        for index in range(count):
            spool.append(RecordType.SAMPLES, index, b"x" * size, "cat")
            spool.commit(sent_seq)
        if acknowledge and sent:
            received += sent
            spool.acknowledge(sent_seq)
        if restart:
            spool.close()
            spool = _spool(folder, max_bytes=max_bytes)
            spool.acknowledge(received[-1].seq if received else 0)
    rest = _everything(spool)
    assert _covered([*received, *rest]) == list(range(1, spool.next_seq))
    spool.close()


def test_a_killed_agent_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """kill -9 in the middle of writing: the rows that were committed are there, numbers go on after them."""
    script = f"""
import sys
from pathlib import Path
from cybercorp.agent.spool import Spool
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.agents import RecordType
spool = Spool(Path({str(tmp_path)!r}), max_bytes=1 << 30, clock=SystemClock(), report=print, boot_id="boot-1")
while True:
    seq = spool.append(RecordType.SAMPLES, 0, b"x" * 500, "cat")
    spool.commit()
    print(seq, flush=True)
"""
    committed = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        said = process.stdout.read().split("\n")
        process.stdout.close()
        process.wait(10)
        committed = max([committed, *(int(line) for line in said[:-1] if line)])
    spool = _spool(tmp_path)
    records = _everything(spool)
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    assert len(records) >= committed
    assert all(one.body == b"x" * 500 for one in records)
    assert _gaps(records) == []
    spool.close()


def test_after_a_power_cut_no_number_is_given_twice(tmp_path: Path) -> None:
    """The newest rows may not have reached the disk: their numbers are skipped and the skip is reported."""
    spool = _spool(tmp_path)
    _fill(spool, 10)
    assert spool._file is not None
    spool._file.close()  # no orderly end
    again = _spool(tmp_path, boot="boot-2")
    again.append(RecordType.SAMPLES, 5, b"after", "cat")
    again.commit()
    records = _everything(again)
    (gap,) = _gaps(records)
    assert (gap.first_seq, gap.last_seq, gap.reason) == (11, 10 + POWER_CUT_MARGIN, "power_lost")
    assert records[-1].seq == 11 + POWER_CUT_MARGIN
    assert _covered(records) == list(range(1, again.next_seq))
    again.close()


def test_an_orderly_reboot_is_no_power_cut(tmp_path: Path) -> None:
    """After a clean stop nothing is skipped."""
    spool = _spool(tmp_path)
    _fill(spool, 3)
    spool.close()
    again = _spool(tmp_path, boot="boot-2")
    assert again.next_seq == 4
    assert _gaps(_everything(again)) == []
    again.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 400, None])
def test_a_damaged_file_is_moved_aside_and_said(tmp_path: Path, damage: bytes | None) -> None:
    """A new stream begins, one clear line says where the old file is, and the loss is an event of the new stream."""
    spool = _spool(tmp_path)
    _fill(spool, 400, size=1000)
    old = spool.stream
    spool.close()
    path = tmp_path / SPOOL_FILE
    if damage is None:
        with sqlite3.connect(path) as db:
            db.execute("update state set clean = 0")
        db.close()
        content = bytearray(path.read_bytes())
        middle = len(content) // 2 // 4096 * 4096
        content[middle : middle + 8192] = b"\x5a" * 8192  # in the middle of the table's tree
        path.write_bytes(content)
    elif damage:
        path.write_bytes(damage)
    else:
        path.write_bytes(path.read_bytes()[:5000])
    again = _spool(tmp_path)
    assert again.stream != old
    assert "damaged" in _lines(again)[0]
    assert list(tmp_path.glob("spool.db.damaged-*"))
    (record,) = _everything(again)
    event = msgspec.msgpack.decode(record.body, type=AgentEvent)
    assert event.kind == EventKind.SAMPLES_DROPPED
    assert record.seq == 1
    again.commit()
    assert not again.failing
    again.close()


def test_a_rotten_row_is_reported_not_sent(tmp_path: Path) -> None:
    """A flipped bit inside a body is found by its checksum; the row's place is taken by a report of its loss."""
    spool = _spool(tmp_path)
    _fill(spool, 3)
    spool.close()
    with sqlite3.connect(tmp_path / SPOOL_FILE) as db:
        db.execute("update records set body = ? where seq = 2", (b"\xff" * 100,))
    db.close()
    again = _spool(tmp_path)
    records = _everything(again)
    assert [one.seq for one in records] == [1, 2, 3]
    (gap,) = _gaps(records)
    assert (gap.first_seq, gap.count, gap.reason) == (2, 1, "spool_damaged")
    again.close()


def test_a_full_disk_keeps_the_newest_in_memory_and_recovers(tmp_path: Path) -> None:
    """While nothing can be written, rows wait in memory and can be sent; when there is space they are written."""
    spool = _spool(tmp_path)
    _fill(spool, 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = (tmp_path / f"{SPOOL_FILE}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    try:
        _fill(spool, 20, size=1000, start_ms=5000)
        assert spool.failing
        assert spool.newest_seq == 25
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(spool._clock, ManualClock)
    spool._clock.advance(60)
    spool.commit()
    assert spool.failing == ""
    assert _lines(spool)[-1] == "The spool can be written again."
    assert [one.seq for one in _everything(spool)] == list(range(1, 26))
    spool.close()
    again = _spool(tmp_path)
    assert [one.seq for one in _everything(again)] == list(range(1, 26))
    again.close()


def test_a_disk_that_stays_full_costs_bounded_memory(tmp_path: Path) -> None:
    """The memory buffer drops its oldest too, and reports them exactly, as one record."""
    spool = _spool(tmp_path, memory=50_000)
    _fill(spool, 5, size=100_000)
    assert spool._file is not None
    spool._file.close()
    spool._file = None
    spool._reopen_at = float("inf")
    _fill(spool, 1000, size=1000)
    assert spool._unsaved.size_bytes <= 51_000
    assert spool.read_after(0, 10_000) == []  # the five on disk come first
    spool._reopen_at = 0
    spool.commit()
    records = _everything(spool)
    assert [one.seq for one in records[:5]] == [1, 2, 3, 4, 5]
    assert len(_gaps(records)) == 1
    assert _covered(records) == list(range(1, 1006))
    spool.close()


def test_a_folder_that_cannot_be_used_does_not_stop_the_agent(tmp_path: Path) -> None:
    """Where the file cannot even be made, rows are sent from memory; the log says why."""
    (tmp_path / SPOOL_FILE).mkdir()
    spool = _spool(tmp_path)
    _fill(spool, 3)
    assert "cannot be written" in _lines(spool)[0]
    assert [one.seq for one in _everything(spool)] == [1, 2, 3]
    spool.acknowledge(3)
    assert _everything(spool) == []
    spool.close()


def test_a_new_stream_keeps_the_rows(tmp_path: Path) -> None:
    """When the server knows more of the stream than the spool does, the rows are numbered anew in another one."""
    spool = _spool(tmp_path)
    _fill(spool, 10)
    spool.acknowledge(4)
    spool.append(RecordType.SAMPLES, 99, b"memory", "cat")
    old, generation = spool.stream, spool.generation
    spool.restart_stream()
    assert spool.stream != old
    assert spool.generation != generation
    records = _everything(spool)
    assert [one.seq for one in records] == [1, 2, 3, 4, 5, 6, 7]
    assert records[0].body == bytes([4]) * 100
    assert records[-1].body == b"memory"
    spool.commit()
    assert [one.seq for one in _everything(spool)] == [1, 2, 3, 4, 5, 6, 7]
    spool.close()


def test_a_drained_spool_gives_its_space_back(tmp_path: Path) -> None:
    """A file that grew to megabytes in an outage shrinks after it."""
    spool = _spool(tmp_path)
    for _ in range(50):
        for _ in range(100):
            spool.append(RecordType.SAMPLES, 0, b"x" * 1000, "cat")
        spool.commit()
    grown = (tmp_path / SPOOL_FILE).stat().st_size
    spool.acknowledge(spool.next_seq - 1)
    for _ in range(40):
        spool.append(RecordType.SAMPLES, 0, b"x", "cat")
        spool.commit()
        spool.acknowledge(spool.next_seq - 1)
    spool.close()
    assert grown > 2 * MIB
    assert (tmp_path / SPOOL_FILE).stat().st_size < grown / 10


def test_the_file_is_private(tmp_path: Path) -> None:
    """What a machine does is its owner's business: 0600."""
    spool = _spool(tmp_path)
    _fill(spool, 1)
    assert (tmp_path / SPOOL_FILE).stat().st_mode & 0o077 == 0
    spool.close()


@pytest.mark.slow
def test_a_large_spool_opens_quickly(tmp_path: Path) -> None:
    """256 MiB after a kill: open in under two seconds."""
    spool = _spool(tmp_path, max_bytes=1 << 30)
    for _ in range(256):
        for _ in range(512):
            spool.append(RecordType.SAMPLES, 0, b"x" * 2000, "cat")
        spool.commit()
    assert spool._file is not None
    spool._file.close()
    start = time.monotonic()
    again = _spool(tmp_path, max_bytes=1 << 30)
    assert time.monotonic() - start < 2
    assert again.newest_seq == 256 * 512
    again.close()


def test_events_are_rows(tmp_path: Path) -> None:
    """An event goes through the same stream as the samples."""
    spool = _spool(tmp_path)
    event = AgentEvent(kind=EventKind.AGENT_STARTED, severity=Severity.INFO, message="hi")
    spool.append_event(event, 5)
    (record,) = _everything(spool)
    assert record.type == RecordType.EVENT
    assert msgspec.msgpack.decode(record.body, type=AgentEvent) == event
    spool.close()
