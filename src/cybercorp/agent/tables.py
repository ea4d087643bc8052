"""Cut a process table so that it fits into one message."""

from __future__ import annotations

import msgspec

from cybercorp.monitors.processes import select_rows
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES

TABLE_BYTES = MAX_MESSAGE_BYTES - 16 * 1024
_SHORT_COMMAND = 160
_SURE_ROWS = 400  # a table of so few rows fits unless its command lines are monstrous: not worth encoding twice
_SURE_COMMAND_BYTES = 100_000


def fit_table(table: ProcessTable, max_bytes: int = TABLE_BYTES) -> ProcessTable:
    """The table, with short command lines where it is too large, then only the busiest and largest of its processes."""
    if (
        max_bytes == TABLE_BYTES
        and len(table.pid) <= _SURE_ROWS
        and 4 * sum(map(len, table.command)) <= _SURE_COMMAND_BYTES
    ):
        return table
    size = _size(table)
    if size <= max_bytes:
        return table
    table = msgspec.structs.replace(table, partial=True, command=[one[:_SHORT_COMMAND] for one in table.command])
    size = _size(table)
    while size > max_bytes and len(table.pid) > 1:
        ranked = sorted(
            range(len(table.pid)), key=lambda row: (table.cpu[row] or 0.0, table.rss_bytes[row]), reverse=True
        )
        kept = max(1, min(len(ranked) - 1, len(ranked) * max_bytes * 9 // (size * 10)))
        table = select_rows(table, sorted(ranked[:kept]))
        size = _size(table)
    return table


def _size(table: ProcessTable) -> int:
    return len(msgspec.msgpack.encode(table))
