"""The scanner: shares and rates over the time between two looks, and the selection that history keeps."""

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.monitors.process_files import ProcessReading
from cybercorp.monitors.processes import COLUMNS, ProcessScanner, select_rows
from cybercorp.protocol.processes import ProcessTable


def reading(
    pid: int, cpu_time_s: float = 0.0, *, rss: int = 0, io: tuple[int, int] | None = None, started: int = 1
) -> ProcessReading:
    return ProcessReading(pid, 1, f"p{pid}", f"/bin/p{pid}", "root", "S", cpu_time_s, rss, 1, io, started)


class Processes:
    """The processes that the test says there are."""

    def __init__(self) -> None:
        self.now: list[ProcessReading] = []

    def read(self) -> list[ProcessReading]:
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def processes() -> Processes:
    return Processes()


@pytest.fixture
def scanner(clock: ManualClock, processes: Processes) -> ProcessScanner:
    return ProcessScanner(clock, processes)


def test_shares_and_rates_are_over_the_time_since_the_last_scan(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """A share of one core (2.0: two cores), bytes a second; unknown in the first look at an old process."""
    processes.now = [reading(7, 10.0, io=(100, 0)), reading(3, 1.0)]
    first = scanner.scan(100_000)
    assert first.pid == [3, 7]
    assert first.cpu == [None, None]
    assert first.read_bytes == [None, 100]
    clock.advance(2)
    processes.now = [reading(3, 1.0), reading(7, 14.0, io=(300, 50)), reading(9, 5.0)]
    second = scanner.scan(102_000)
    assert second.timestamp_ms == 102_000
    assert second.cpu == [0.0, 2.0, None]
    assert second.read_rate == [None, 100.0, None]
    assert second.write_rate == [None, 25.0, None]
    assert second.total == 3
    assert not second.partial


def test_a_process_born_since_the_last_look_counts_at_once(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """A short burst of a new process is not missed: all it has, it took since then. "Who did this?" depends on it."""
    scanner.scan(100_000)
    clock.advance(10)
    processes.now = [reading(9, 5.0, io=(1000, 0), started=107_000), reading(3, 9.0, started=1)]
    table = scanner.scan(110_000)
    assert table.cpu == [None, 0.5]
    assert table.read_rate == [None, 100.0]


def test_a_pid_used_again_starts_anew(scanner: ProcessScanner, processes: Processes, clock: ManualClock) -> None:
    """The CPU time of one process is never subtracted from that of another."""
    processes.now = [reading(7, 1000.0)]
    scanner.scan(0)
    clock.advance(1)
    processes.now = [reading(7, 0.5, started=2)]
    assert scanner.scan(0).cpu == [0.5]


def test_counters_that_step_back_are_no_negative_rate(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """The kernel's scaled times may lose a tick."""
    processes.now = [reading(7, 1.0, io=(10, 10))]
    scanner.scan(0)
    clock.advance(1)
    processes.now = [reading(7, 0.9, io=(0, 0))]
    table = scanner.scan(0)
    assert (table.cpu, table.read_rate, table.write_rate) == ([0.0], [0.0], [0.0])


def test_scans_in_quick_succession_repeat_the_share(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """Two callers who come within a moment of one another do not see noise."""
    processes.now = [reading(7, 0.0)]
    scanner.scan(0)
    clock.advance(1)
    processes.now = [reading(7, 0.5)]
    scanner.scan(0)
    clock.advance(0.01)
    processes.now = [reading(7, 0.51)]
    assert scanner.scan(0).cpu == [0.5]
    clock.advance(0.99)
    processes.now = [reading(7, 1.5)]
    assert scanner.scan(0).cpu == [pytest.approx(1.0)]


def test_io_that_may_no_longer_be_read_has_no_rate(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """Unknown is not zero."""
    processes.now = [reading(7, io=(10, 10))]
    scanner.scan(0)
    clock.advance(1)
    processes.now = [reading(7, io=None)]
    table = scanner.scan(0)
    assert (table.read_bytes, table.read_rate) == ([None], [None])


def test_the_top_is_the_union_by_cpu_and_by_memory(
    scanner: ProcessScanner, processes: Processes, clock: ManualClock
) -> None:
    """In the table's order, without repetition, saying that it is a part of how many."""
    processes.now = [reading(pid, 0.0, rss=(50 - pid) % 7) for pid in range(1, 51)]
    scanner.scan(0)
    clock.advance(1)
    processes.now = [
        reading(pid, pid / 10 if pid < 6 else 0.0, rss=1000 if pid in (5, 40) else 1) for pid in range(1, 51)
    ]
    table = scanner.scan(0)
    top = scanner.top(table, 2)
    assert top.pid == [4, 5, 40]
    assert top.partial
    assert top.total == 50
    assert top.name == ["p4", "p5", "p40"]


def test_every_column_has_every_row(scanner: ProcessScanner, processes: Processes) -> None:
    """An empty table, a full one and a selection alike."""
    assert scanner.scan(0).total == 0
    processes.now = [reading(1), reading(2), reading(3)]
    table = scanner.scan(0)
    for one, rows in ((table, 3), (select_rows(table, [2]), 1), (select_rows(table, []), 0)):
        assert {column: len(getattr(one, column)) for column in COLUMNS} == dict.fromkeys(COLUMNS, rows)
    lists = {name for name, kind in ProcessTable.__annotations__.items() if "list[" in str(kind)}
    assert set(COLUMNS) == lists, "a column of the table is filled by nobody"


class TestChanges:
    """Which processes began and ended, found by comparing whole tables."""

    def test_the_first_look_tells_nothing(self, scanner: ProcessScanner, processes: Processes) -> None:
        """What was there before is not news."""
        processes.now = [reading(3), reading(7)]
        scanner.scan(100_000)
        assert scanner.take_changes() is None

    def test_starts_and_exits_over_several_looks(
        self, scanner: ProcessScanner, processes: Processes, clock: ManualClock
    ) -> None:
        """Everything since it was asked last, once; an exit knows what the process had taken when it was seen last."""
        processes.now = [reading(3), reading(7, 2.0, rss=4096)]
        scanner.scan(100_000)
        clock.advance(1)
        processes.now = [reading(3), reading(9, started=100_500)]
        scanner.scan(101_000)
        clock.advance(1)
        processes.now = [reading(3)]
        scanner.scan(102_000)
        changes = scanner.take_changes()
        assert changes is not None
        assert [(one.pid, one.started_at_ms, one.command) for one in changes.started] == [(9, 100_500, "/bin/p9")]
        assert [(one.pid, one.seen_at_ms, one.cpu_time_s, one.rss_bytes) for one in changes.exited] == [
            (7, 100_000, 2.0, 4096),
            (9, 101_000, 0.0, 0),
        ]
        assert scanner.take_changes() is None

    def test_a_number_that_is_used_again_is_another_process(
        self, scanner: ProcessScanner, processes: Processes, clock: ManualClock
    ) -> None:
        """One exit and one start under the same pid."""
        processes.now = [reading(3, 9.0)]
        scanner.scan(100_000)
        clock.advance(1)
        processes.now = [reading(3, 0.1, started=100_700)]
        scanner.scan(101_000)
        changes = scanner.take_changes()
        assert changes is not None
        assert [one.started_at_ms for one in changes.started] == [100_700]
        assert [one.started_at_ms for one in changes.exited] == [1]

    def test_a_storm_is_counted_and_not_listed(
        self, scanner: ProcessScanner, processes: Processes, clock: ManualClock
    ) -> None:
        """At most 200 of each are listed, their command lines cut; the others are a number."""
        processes.now = [reading(1)]
        scanner.scan(100_000)
        clock.advance(1)
        processes.now = [reading(1), *(reading(10 + n)._replace(command="x" * 9_000) for n in range(1_000))]
        scanner.scan(101_000)
        clock.advance(1)
        processes.now = [reading(1)]
        scanner.scan(102_000)
        changes = scanner.take_changes()
        assert changes is not None
        assert (len(changes.started), len(changes.exited), changes.unlisted) == (200, 200, 1_600)
        assert {len(one.command) for one in changes.started} == {200}
