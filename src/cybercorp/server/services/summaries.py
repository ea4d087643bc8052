"""From a row of samples to the numbers of a host's summary: which slots to read, how, and what they mean together.

The slots are found once per catalogue; a summary then reads a dozen float64 of the row and touches nothing else.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgspec

from cybercorp.protocol.metrics import Series, parse_metric_selector

_READ = struct.Struct("<d").unpack_from


SUMMARY_SERIES = tuple(
    map(
        parse_metric_selector,
        (
            'system.cpu.utilization{cpu=""}',
            'system.memory.utilization{state="used"}',
            "system.cpu.load_average.1m",
            "system.filesystem.utilization",
            'system.network.io{device!="lo"}',
        ),
    )
)
"""All that a summary is made of."""


class SummaryValues(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one summary; None where the row does not tell."""

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    load: float | None = None
    network_receive: float | None = None
    network_transmit: float | None = None


class SummarySlots:
    """Byte offsets of the summary's series in the rows of one catalogue."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._cpu = _first(series, "system.cpu.utilization", {})
        self._memory = _first(series, "system.memory.utilization", {"state": "used"})
        self._load = _first(series, "system.cpu.load_average.1m", {})
        self._disks = [8 * i for i, one in enumerate(series) if one.name == "system.filesystem.utilization"]
        self._receive = _network(series, "receive")
        self._transmit = _network(series, "transmit")

    def cpu(self, body: bytes) -> float | None:
        """Only the CPU, for the history."""
        return _value(body, self._cpu)

    def values(self, body: bytes, before: bytes | None, elapsed_s: float) -> SummaryValues:
        """The summary of a row; rates against the row `before`, of the same catalogue, `elapsed_s` earlier."""
        disks = [value for offset in self._disks if (value := _value(body, offset)) is not None]
        return SummaryValues(
            cpu=_value(body, self._cpu),
            memory=_value(body, self._memory),
            load=_value(body, self._load),
            disk=max(disks, default=None),
            network_receive=_rate(body, before, self._receive, elapsed_s),
            network_transmit=_rate(body, before, self._transmit, elapsed_s),
        )


def _first(series: Sequence[Series], name: str, attributes: dict[str, str]) -> int:
    return next((8 * i for i, one in enumerate(series) if one.name == name and one.attributes == attributes), -1)


def _network(series: Sequence[Series], direction: str) -> list[int]:
    return [
        8 * i
        for i, one in enumerate(series)
        if one.name == "system.network.io"
        and one.attributes.get("direction") == direction
        and one.attributes.get("device") != "lo"
    ]


def _value(body: bytes, offset: int) -> float | None:
    if offset < 0 or offset + 8 > len(body):
        return None
    value: float = _READ(body, offset)[0]
    return value if math.isfinite(value) else None


def _rate(body: bytes, before: bytes | None, offsets: Sequence[int], elapsed_s: float) -> float | None:
    if before is None or elapsed_s <= 0 or not offsets or len(before) != len(body):
        return None
    total, known = 0.0, False
    for offset in offsets:
        now, then = _value(body, offset), _value(before, offset)
        if now is not None and then is not None:
            known = True
            total += now - then if now >= then else max(now, 0.0)  # a counter that was reset began again at nothing
    return total / elapsed_s if known else None
