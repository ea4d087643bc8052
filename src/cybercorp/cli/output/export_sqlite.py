"""An export as a SQLite file by sqlite-utils, made to be opened with Datasette: hosts, their series, their samples."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from sqlite_utils import Database

from cybercorp.cli.output.exports import WHOLE, attributes_text
from cybercorp.protocol.exports import ExportBlock
from cybercorp.protocol.metrics import Series
from cybercorp.security.display import safe_text

_READABLE = """
    SELECT datetime(samples.time_ms / 1000, 'unixepoch') AS time, hosts.name AS host, series.metric, series.attributes,
           samples.value, series.unit, samples.time_ms
    FROM samples JOIN series ON series.id = samples.series_id JOIN hosts ON hosts.id = series.host_id
"""


class SqliteFile:
    """Tables `hosts`, `series`, `samples` with foreign keys and indexes, and the view `readable` that joins them."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._database.conn.execute("PRAGMA journal_mode = OFF")  # a file that fails is thrown away
        self._database.conn.execute("PRAGMA synchronous = OFF")
        self._hosts: set[str] = set()
        self._series: dict[tuple[str, str], int] = {}
        self._make_tables()

    def write(self, block: ExportBlock) -> int:
        database = self._database
        count = 0
        with database.atomic():
            if block.host_id not in self._hosts:
                self._hosts.add(block.host_id)
                row = {
                    "id": block.host_id,
                    "name": safe_text(block.host, WHOLE),
                    "labels": attributes_text(block.labels),
                }
                database.table("hosts").insert(row)
            times = block.times_ms()
            for number, one in enumerate(block.series):
                known = [(t, v) for t, v in zip(times, block.values_of(number), strict=True) if v == v]
                if not known:
                    continue
                place = self._place(block.host_id, one)
                rows = [(place, time_ms, value) for time_ms, value in known]
                database.conn.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", rows)
                count += len(rows)
        return count

    def _place(self, host_id: str, series: Series) -> int:
        key = (host_id, series.key)
        known = self._series.get(key)
        if known is None:
            known = self._series[key] = len(self._series) + 1
            row = {
                "id": known,
                "host_id": host_id,
                "metric": safe_text(series.name, WHOLE),
                "attributes": attributes_text(series.attributes),
                "unit": safe_text(series.unit, WHOLE),
                "kind": str(series.kind),
            }
            self._database.table("series").insert(row)
        return known

    def _make_tables(self) -> None:
        database = self._database
        database.table("hosts").create({"id": str, "name": str, "labels": str}, pk="id")
        columns = {"id": int, "host_id": str, "metric": str, "attributes": str, "unit": str, "kind": str}
        database.table("series").create(columns, pk="id", foreign_keys=[("host_id", "hosts", "id")])
        database.table("samples").create(
            {"series_id": int, "time_ms": int, "value": float},
            pk=("series_id", "time_ms"),
            foreign_keys=[("series_id", "series", "id")],
        )
        database.create_view("readable", _READABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._database.table("samples").create_index(["time_ms"])
                self._database.table("series").create_index(["metric"])
                self._database.table("series").create_index(["host_id"])
        finally:
            self._database.close()
