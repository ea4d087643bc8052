"""Where an export is written to: CSV and NDJSON as text, Parquet, a SQLite file. Foreign text is harmless in all."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import msgspec

from cybercorp.cli.output.records import json_text
from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.exports import CSV_HEADER, ExportBlock, csv_lines, ndjson_lines
from cybercorp.security.display import safe_text, spreadsheet_cell

WHOLE = 1 << 40


class FileFormat(StrEnum):
    """`csv` and `ndjson` can go to stdout; `parquet` needs pyarrow; `sqlite` is what Datasette opens."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    SQLITE = "sqlite"


_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".db": FileFormat.SQLITE,
    ".sqlite": FileFormat.SQLITE,
    ".sqlite3": FileFormat.SQLITE,
}


class ExportWriter(Protocol):
    """Takes block after block; leaving the `with` without an error completes the file."""

    def write(self, block: ExportBlock) -> int:
        """Write a block; the number of values in it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def format_of(path: Path) -> FileFormat:
    """The format that a file's name means. Raises InvalidInputError."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InvalidInputError(
            f"The name {safe_text(path.name, 100)} does not tell a format.",
            hint="End it with .csv, .ndjson, .parquet or .db, or give --format.",
        )
    return found


class TextWriter:
    """CSV or NDJSON to an open stream."""

    def __init__(self, stream: IO[str], format: FileFormat, *, close: bool) -> None:
        self._stream = stream
        self._close = close
        self._csv = format is FileFormat.CSV
        if self._csv:
            stream.write(CSV_HEADER)

    def write(self, block: ExportBlock) -> int:
        if self._csv:
            lines = list(csv_lines(block, spreadsheet_cell))
            self._stream.writelines(lines)
            count = len(lines)
        else:
            count = 0
            for line in ndjson_lines(block):
                count += len(line.values)
                self._stream.write(json_text(msgspec.to_builtins(line)) + "\n")
        if not self._close:
            self._stream.flush()
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._close:
            self._stream.close()


def open_writer(path: Path, format: FileFormat) -> ExportWriter:
    """A writer to an empty file. Raises InvalidInputError (`library_missing`)."""
    match format:
        case FileFormat.PARQUET:
            check_parquet()
            from cybercorp.cli.output.export_parquet import ParquetFile

            return ParquetFile(path)
        case FileFormat.SQLITE:
            from cybercorp.cli.output.export_sqlite import SqliteFile

            return SqliteFile(path)
        case _:
            return TextWriter(path.open("w", encoding="utf-8", newline=""), format, close=True)


def check_parquet() -> None:
    """Raises InvalidInputError (`library_missing`) where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - optional, and slow to import
    except ImportError as error:
        raise InvalidInputError(
            "Parquet needs pyarrow, which is not installed.",
            hint='Run: pip install "cybercorp[parquet]"; or export to .csv, .ndjson or .db.',
            code="library_missing",
        ) from error


def attributes_text(attributes: dict[str, str]) -> str:
    """Attributes or labels as JSON with sorted keys, in which nothing can harm a terminal."""
    shown = {safe_text(key, WHOLE): safe_text(value, WHOLE) for key, value in sorted(attributes.items())}
    return json.dumps(shown, ensure_ascii=False)
