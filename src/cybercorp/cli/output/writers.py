"""Print rows of a noun in the format that was asked for. Commands call only this."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from cybercorp.cli.options import Options, wants_color
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat, on_terminal
from cybercorp.cli.output.plain import write_plain, write_plain_record
from cybercorp.cli.output.records import json_text, write_csv, write_json, write_ndjson, write_yaml, yaml_text
from cybercorp.core.units import UNKNOWN

RowT = TypeVar("RowT")


def write_rows(
    rows: Sequence[RowT],
    columns: Sequence[Column[RowT]],
    output: OutputFormat,
    options: Options,
    *,
    empty: str = "",
) -> None:
    """Print rows on stdout. Where a person would see an empty table, say `empty` on stderr instead."""
    if output is not OutputFormat.TABLE:
        write_records((record(row, columns) for row in rows), [column.key for column in columns], output)
        return
    if not rows:
        say(empty)
        return
    shown = [column for column in columns if not column.detail]
    if on_terminal():
        _print_table(rows, shown, options)
        return
    cells = [[column.cell(row) for column in shown] for row in rows]
    write_plain(sys.stdout, [column.heading for column in shown], cells, [column.right for column in shown])


def write_one(row: RowT, columns: Sequence[Column[RowT]], output: OutputFormat, options: Options) -> None:
    """Print one thing: a line for each value, or one record."""
    if output is not OutputFormat.TABLE:
        write_object(record(row, columns), output)
        return
    columns = [column for column in columns if not column.detail]
    if on_terminal():
        from cybercorp.cli.output.tables import Cell, make_console, print_record

        console = make_console(color=wants_color(options))
        print_record(console, [(column.heading, Cell(column.cell(row), style(column, row))) for column in columns])
        return
    write_plain_record(sys.stdout, [(column.heading, column.cell(row)) for column in columns])


def write_object(value: dict[str, Any], output: OutputFormat) -> None:
    """Print one record in a format for programs."""
    match output:
        case OutputFormat.CSV:
            write_csv(sys.stdout, [value], list(value))
        case OutputFormat.YAML:
            sys.stdout.write(yaml_text(value) + "\n")
        case _:
            sys.stdout.write(json_text(value) + "\n")


def write_records(
    records: Iterable[dict[str, Any]], keys: Sequence[str], output: OutputFormat, *, header: bool = True
) -> None:
    """Print records in a format for programs."""
    match output:
        case OutputFormat.CSV:
            write_csv(sys.stdout, records, keys, header=header)
        case OutputFormat.YAML:
            write_yaml(sys.stdout, records)
        case OutputFormat.NDJSON:
            write_ndjson(sys.stdout, records)
        case _:
            write_json(sys.stdout, records)


def record(row: RowT, columns: Sequence[Column[RowT]]) -> dict[str, Any]:
    """A row for programs: raw values by key."""
    return {column.key: column.value(row) for column in columns}


def style(column: Column[RowT], row: RowT) -> str:
    """The terminal style of a cell."""
    return column.style(row) if column.style is not None else ""


def say(text: str) -> None:
    """Talk to the person, on stderr, so that it never mixes with data."""
    if text:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def remark(text: str) -> None:
    """What only helps a person who looks at the terminal; a script's log stays empty."""
    if on_terminal() and sys.stderr.isatty():
        sys.stdout.flush()
        say(text)


def tell(text: str) -> None:
    """What a change has brought about: a line on stdout."""
    sys.stdout.write(f"{text}\n")


def _print_table(rows: Sequence[RowT], columns: Sequence[Column[RowT]], options: Options) -> None:
    # Rich takes 60 ms to import, which a pipe must not pay.
    from cybercorp.cli.output.tables import Cell, Layout, make_console, print_table

    cells = [[column.cell(row) for column in columns] for row in rows]
    # Where nobody has labels, or a description, the room is better used.
    used = [
        index
        for index, column in enumerate(columns)
        if not column.rank or any(line[index] != UNKNOWN for line in cells)
    ]
    layouts = [Layout(one.heading, one.right, one.rank, one.flexible) for one in (columns[index] for index in used)]
    styled = [
        [Cell(line[index], style(columns[index], row)) for index in used] for row, line in zip(rows, cells, strict=True)
    ]
    print_table(make_console(color=wants_color(options)), layouts, styled)
