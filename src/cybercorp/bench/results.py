"""What a load run came to."""

from __future__ import annotations

import msgspec


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run. CPU and memory are those of the server's process alone, None where it is not ours.

    `seconds` is the time from the first row to the last acknowledgement, `settled_s` what the server then took to
    turn everything into chunks; `samples_per_cpu_s` counts both. Delays are in milliseconds, sizes in bytes.
    `rows_by_agent` are those acknowledged, by number of the agent: of each the first so many rows of the recording.
    """

    agents: int
    viewers: int
    series: int
    speed: str
    seconds: float
    settled_s: float | None
    rows_sent: int
    rows_acknowledged: int
    rows_refused: int
    rows_stored: int | None
    samples_per_s: float
    samples_per_cpu_s: float | None
    server_cpu_s: float | None
    server_cpu_percent: float | None
    server_rss_bytes: int | None
    generator_cpu_s: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    ack_max_ms: float | None
    delivery_p50_ms: float | None
    delivery_p99_ms: float | None
    updates_delivered: int
    windows_delivered: int
    disk_bytes: int | None
    bytes_per_sample: float | None
    failures: list[str]
    rows_by_agent: dict[int, int]

    @property
    def whole(self) -> bool:
        """Whether every row was acknowledged, and every acknowledged row is stored."""
        stored = self.rows_stored is None or self.rows_stored >= self.rows_acknowledged
        return self.rows_acknowledged == self.rows_sent and self.rows_sent > 0 and stored
