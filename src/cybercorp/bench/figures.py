"""What a load run has seen: counts, and delays as histograms that can be added up over processes."""

from __future__ import annotations

import math

import msgspec

_STEPS_A_DOUBLING = 32  # a delay is known to 2.2 %
_LEAST_S = 1e-5


class Delays(msgspec.Struct):
    """Delays in seconds, counted in steps of equal ratio; `longest` is exact."""

    counts: dict[int, int] = {}
    longest: float = 0.0

    def add(self, delay_s: float) -> None:
        """One more."""
        step = max(0, int(math.log2(max(delay_s, _LEAST_S) / _LEAST_S) * _STEPS_A_DOUBLING))
        self.counts[step] = self.counts.get(step, 0) + 1
        self.longest = max(self.longest, delay_s)

    def merge(self, other: Delays) -> None:
        """Those of another process as well."""
        for step, count in other.counts.items():
            self.counts[step] = self.counts.get(step, 0) + count
        self.longest = max(self.longest, other.longest)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The delay in seconds that `share` (0–1) of all do not exceed, rounded up by a step; None without any."""
        left = share * len(self)
        for step in sorted(self.counts):
            left -= self.counts[step]
            if left <= 0:
                return min(self.longest, _LEAST_S * 2 ** ((step + 1) / _STEPS_A_DOUBLING))
        return None


class Figures(msgspec.Struct):
    """One worker's figures so far; `done` in its last line, with `rows`: those acknowledged by number of the agent."""

    done: bool = False
    connected: int = 0
    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    delivered: int = 0
    windows: int = 0
    cpu_s: float = 0.0
    acknowledgement: Delays = msgspec.field(default_factory=Delays)
    delivery: Delays = msgspec.field(default_factory=Delays)
    failures: list[str] = []
    rows: dict[int, int] = {}

    def fail(self, message: str) -> None:
        """Something went wrong; the first twenty are kept."""
        if len(self.failures) < 20:
            self.failures.append(message)

    def merge(self, other: Figures) -> None:
        """Those of another worker as well."""
        for name in ("connected", "sent", "acknowledged", "refused", "delivered", "windows", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.acknowledgement.merge(other.acknowledgement)
        self.delivery.merge(other.delivery)
        self.rows.update(other.rows)
        for message in other.failures:
            self.fail(message)
