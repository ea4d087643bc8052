"""Process tables for tests."""

from __future__ import annotations

from cybercorp.protocol.processes import ProcessTable


def table_of(
    *rows: tuple[int, int, str, float | None, int],
    at_ms: int = 1_000_000,
    partial: bool = False,
    command: str | None = None,
    user: str = "root",
    started_at_ms: int = 500,
) -> ProcessTable:
    """A table of (pid, parent, name, cpu ratio, rss bytes)."""
    count = len(rows)
    return ProcessTable(
        timestamp_ms=at_ms,
        total=count if not partial else count + 100,
        partial=partial,
        pid=[one[0] for one in rows],
        parent=[one[1] for one in rows],
        name=[one[2] for one in rows],
        command=[f"/usr/bin/{one[2]} --flag" if command is None else command for one in rows],
        user=[user] * count,
        state=["S"] * count,
        cpu=[one[3] for one in rows],
        cpu_time_s=[1.0] * count,
        rss_bytes=[one[4] for one in rows],
        threads=[1] * count,
        read_bytes=[None] * count,
        write_bytes=[0] * count,
        read_rate=[None] * count,
        write_rate=[0.0] * count,
        started_at_ms=[started_at_ms] * count,
    )


def many(count: int, *, at_ms: int = 1_000_000, seed: int = 0) -> ProcessTable:
    """`count` processes under pid 1, a few of them busy."""
    return table_of(
        *(
            (
                pid,
                0 if pid == 1 else 1,
                f"worker-{pid}",
                ((pid * 37 + seed * 11) % 100) / 100 if pid % 20 == 0 else 0.0,
                pid * 4096,
            )
            for pid in range(1, count + 1)
        ),
        at_ms=at_ms,
    )
