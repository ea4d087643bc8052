"""Process tables: sorted, as a tree, and never fooled by what a host reports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.cli.process_rows import ProcessRow, rows_of, sort_rows, tree_rows
from cybercorp.protocol.processes import HostProcesses, ProcessTable


def row(pid: int, parent: int = 0, cpu: float | None = 0.0, name: str = "x", host: str = "a") -> ProcessRow:
    return ProcessRow(
        host=host,
        time_ms=0,
        pid=pid,
        parent=parent,
        name=name,
        command="",
        user="u",
        state="S",
        cpu=cpu,
        cpu_time_s=0.0,
        rss_bytes=pid,
        threads=1,
        read_bytes=None,
        write_bytes=None,
        read_rate=None,
        write_rate=None,
        started_at_ms=0,
    )


def test_amounts_come_largest_first_and_unknown_last() -> None:
    """A process that was seen for the first time has no CPU figure yet and sorts as idle."""
    assert [one.pid for one in sort_rows([row(1, cpu=None), row(2, cpu=0.5), row(3, cpu=2.0)], "cpu")] == [3, 2, 1]
    assert [one.pid for one in sort_rows([row(2), row(3), row(1)], "mem")] == [3, 2, 1]


def test_names_come_in_order() -> None:
    """Names ascend without regard to case; ties by pid."""
    rows = [row(3, name="b"), row(2, name="A"), row(1, name="b")]
    assert [one.pid for one in sort_rows(rows, "name")] == [2, 1, 3]


def test_a_tree_draws_children_under_parents() -> None:
    """Branches as in pstree; a process whose parent is absent is a root."""
    rows = tree_rows([row(1), row(2, 1), row(3, 2), row(4, 1), row(9, 77)], "pid")
    assert [(one.pid, one.branch) for one in rows] == [
        (1, ""),
        (2, "├─ "),
        (3, "│  └─ "),
        (4, "└─ "),
        (9, ""),
    ]


def test_trees_of_two_hosts_do_not_mix() -> None:
    """The same pid on another host is another process."""
    rows = tree_rows([row(1), row(2, 1, host="b")], "pid")
    assert [one.branch for one in rows] == ["", ""]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20, unique_by=lambda pair: pair[0]))
def test_no_process_is_lost_or_doubled_in_a_tree(pairs: list[tuple[int, int]]) -> None:
    """Also where a hostile host reports circles of parents, or itself as its parent."""
    rows = tree_rows([row(pid, parent) for pid, parent in pairs], "cpu")
    assert sorted(one.pid for one in rows) == sorted(pid for pid, _ in pairs)


def test_a_chain_of_ten_thousand_parents_is_drawn() -> None:
    """No recursion limit ends the program."""
    assert len(tree_rows([row(pid, pid - 1) for pid in range(1, 10_000)], "pid")) == 9_999


@pytest.mark.parametrize("short", ["name", "cpu"])
def test_a_torn_table_is_cut_at_its_shortest_column(short: str) -> None:
    """Columns of different lengths never pair values of different processes."""
    columns: dict[str, list[Any]] = {
        "pid": [1, 2],
        "parent": [0, 0],
        "name": ["a", "b"],
        "command": ["", ""],
        "user": ["", ""],
        "state": ["S", "S"],
        "cpu": [0.0, 0.0],
        "cpu_time_s": [0.0, 0.0],
        "rss_bytes": [1, 1],
        "threads": [1, 1],
        "read_bytes": [None, None],
        "write_bytes": [None, None],
        "read_rate": [None, None],
        "write_rate": [None, None],
        "started_at_ms": [0, 0],
    }
    columns[short] = columns[short][:1]
    table = msgspec.convert({"timestamp_ms": 5, "total": 2, **columns}, ProcessTable)
    rows = rows_of(HostProcesses(host="h", host_id="i", live=True, table=table))
    assert [one.pid for one in rows] == [1]
    assert rows[0].time_ms == 5
