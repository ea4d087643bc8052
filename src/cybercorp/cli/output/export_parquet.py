"""An export as Parquet by pyarrow, the optional extra: one row a value, in row groups of half a million."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cybercorp.cli.output.exports import WHOLE, attributes_text
from cybercorp.protocol.exports import ExportBlock
from cybercorp.security.display import safe_text

_GROUP_ROWS = 500_000
_TEXT = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", tz="UTC")),
        ("host", _TEXT),
        ("metric", _TEXT),
        ("attributes", _TEXT),
        ("unit", _TEXT),
        ("kind", _TEXT),
        ("value", pa.float64()),
    ]
)


class ParquetFile:
    """Columns `time host metric attributes unit kind value`; attributes are JSON."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd")
        self._tables: list[Any] = []
        self._rows = 0

    def write(self, block: ExportBlock) -> int:
        times = pa.Array.from_buffers(pa.int64(), block.rows, [None, pa.py_buffer(block.times)])
        size = len(block.times)
        before = self._rows
        count = 0
        for number, one in enumerate(block.series):
            data = pa.py_buffer(block.values[number * size : (number + 1) * size])
            values = pa.Array.from_buffers(pa.float64(), block.rows, [None, data])
            known = pc.invert(pc.is_nan(values))
            kept = pc.filter(values, known)
            rows = len(kept)
            if not rows:
                continue
            texts = (block.host, one.name, None, one.unit, str(one.kind))
            shown = [attributes_text(one.attributes) if text is None else safe_text(text, WHOLE) for text in texts]
            columns = [pc.filter(times, known).cast(_SCHEMA.field("time").type)]
            columns += [_repeated(text, rows) for text in shown]
            self._tables.append(pa.Table.from_arrays([*columns, kept], schema=_SCHEMA))
            count += rows
        self._rows = before + count
        if self._rows >= _GROUP_ROWS:
            self._flush()
        return count

    def _flush(self) -> None:
        if self._tables:
            table = pa.concat_tables(self._tables).unify_dictionaries()
            self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        self._tables, self._rows = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()


def _repeated(text: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), pa.array([text], pa.string()))
