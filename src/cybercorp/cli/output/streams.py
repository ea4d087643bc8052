"""Rows that come one by one for as long as somebody watches: printed at once, in columns of a fixed width."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Generic, TypeVar

from cybercorp.cli.options import Options, wants_color
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat, on_terminal
from cybercorp.cli.output.writers import record, style, write_records
from cybercorp.security.display import safe_text

RowT = TypeVar("RowT")
_GAP = "  "
_CELL_LIMIT = 2000


class RowStream(Generic[RowT]):
    """Prints batches of rows in one format; a CSV header once, a table without a header."""

    def __init__(self, columns: Sequence[Column[RowT]], output: OutputFormat, options: Options) -> None:
        self._columns = columns
        self._output = output
        self._options = options
        self._header = True

    def write(self, rows: Sequence[RowT]) -> None:
        """Print and flush, so that a pipe sees each row when it happens."""
        if self._output is OutputFormat.TABLE:
            self._write_lines(rows)
        elif rows:
            keys = [column.key for column in self._columns]
            records = (record(row, self._columns) for row in rows)
            write_records(records, keys, self._output, header=self._header)
            self._header = False
        sys.stdout.flush()

    def _write_lines(self, rows: Sequence[RowT]) -> None:
        shown = [column for column in self._columns if not column.detail]
        if not (on_terminal() and wants_color(self._options)):
            for row in rows:
                cells = [safe_text(column.cell(row), _CELL_LIMIT).ljust(column.width) for column in shown]
                sys.stdout.write(_GAP.join(cells).rstrip() + "\n")
            return
        from rich.text import Text

        from cybercorp.cli.output.tables import make_console

        console = make_console(color=True)
        for row in rows:
            line = Text(overflow="fold")
            for column in shown:
                line.append(safe_text(column.cell(row), _CELL_LIMIT).ljust(column.width), style=style(column, row))
                line.append(_GAP)
            line.rstrip()
            console.print(line, soft_wrap=True)
