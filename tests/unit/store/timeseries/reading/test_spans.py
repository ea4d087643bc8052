"""Whole rows of a span: everything that is in it, and no more work than there is history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.reading import spans
from cybercorp.store.timeseries.reading.pictures import look
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from tests.unit.store.building import FIRST, START_MS, open_store, sample

T = TypeVar("T")
CENTURIES_MS = 20_000_000_000_000


@pytest.mark.parametrize("sealed", [False, True])
def test_a_span_of_centuries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool) -> None:
    """It gives what there is, first and last row included, and looks at the half hours of the history alone."""
    looks: list[int] = []

    def counted(session: Session, read: Callable[[State], T]) -> T:
        looks.append(1)
        return look(session, read)

    monkeypatch.setattr(spans, "look", counted)
    store = open_store(tmp_path)
    try:
        store.register_catalogue(1, FIRST)
        times = [START_MS, START_MS + 1000, START_MS + 2 * spans.SLICE_MS]
        store.write([sample(seq, at, 0.5, 1.0) for seq, at in enumerate(times, start=1)])
        table = msgspec.msgpack.encode(ProcessTable(timestamp_ms=times[0] - 5, total=1, pid=[7], name=["x"]))
        store.write([StoredRow(1, "s", 4, times[0] - 5, times[0] - 5, RecordType.PROCESSES, "", table)])
        if sealed:
            store.seal(everything=True)
        rows = [at for block in store.rows(1, 0, CENTURIES_MS) for at in block.timestamps.tolist()]
        assert rows == times
        assert len(list(store.process_tables(1, 0, CENTURIES_MS))) == 1
        assert list(store.rows(2, 0, CENTURIES_MS)) == []
        assert len(looks) <= 8
    finally:
        store.close()
