"""Everything about one process, as lines: who started it, what it does, how it did over the last minute."""

from __future__ import annotations

import datetime as dt

from rich.cells import chop_cells

from cybercorp.core.units import UNKNOWN, format_bytes, format_seconds
from cybercorp.tui.state.charts import Column
from cybercorp.tui.state.host_cpu import area_lines
from cybercorp.tui.state.lines import Line, Run, Tone, cut, heat, left, width_of
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.scales import percent

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for I/O",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
    "X": "dead",
}
_LABEL = 11
_CHART_ROWS = 5
_MAX_COMMAND_LINES = 400


def process_title(model: ProcessModel, row: int) -> str:
    """`java (4121)`."""
    return f"{model.text('name', row)} ({model.table.pid[row]})"


def process_details(model: ProcessModel, row: int, width: int, *, cores: int = 1, ascii: bool = False) -> list[Line]:
    """The details of the process in `row` for a space of `width` cells."""
    table = model.table
    cpu = table.cpu[row]
    lines: list[Line] = []
    lines += _chart(model, row, width, cores, ascii=ascii)
    lines.append([])
    numbers: list[tuple[str, str, Tone]] = [
        (
            "cpu",
            f"{percent(cpu, 1)} of a core · {percent(None if cpu is None else cpu / max(cores, 1), 1)} of all",
            heat(cpu),
        ),
        ("cpu time", format_seconds(table.cpu_time_s[row]), Tone.TEXT),
        ("memory", f"{format_bytes(float(table.rss_bytes[row]))} resident", Tone.TEXT),
        ("read", _io(table.read_rate[row], table.read_bytes[row]), Tone.TEXT),
        ("written", _io(table.write_rate[row], table.write_bytes[row]), Tone.TEXT),
        ("threads", f"{table.threads[row]:,}", Tone.TEXT),
        ("state", _state(model.text("state", row)), Tone.TEXT),
        ("user", model.text("user", row), Tone.TEXT),
        ("started", _started(table.started_at_ms[row], table.timestamp_ms), Tone.TEXT),
    ]
    lines += [_pair(label, text, tone, width, ascii=ascii) for label, text, tone in numbers]
    lines.append([])
    lines += _family(model, row, width, ascii=ascii)
    lines.append([])
    lines.append([Run("command", Tone.MUTED)])
    command = chop_cells(model.full_command(row), max(width - 2, 10))
    lines += [[Run("  "), Run(part)] for part in command[:_MAX_COMMAND_LINES]]
    if len(command) > _MAX_COMMAND_LINES:
        lines.append([Run(f"  … {len(command) - _MAX_COMMAND_LINES} more lines", Tone.MUTED)])
    return lines


def _chart(model: ProcessModel, row: int, width: int, cores: int, *, ascii: bool) -> list[Line]:
    axis = 6
    count = max(width - axis, 4) * (1 if ascii else 2)
    values = model.activity(row, min(count, 60))
    stretch = count / len(values)
    spread = [values[min(int(position / stretch), len(values) - 1)] for position in range(count)]
    known = [value for value in values if value is not None]
    top = max([0.1, *known])
    top = min(-(-top // 0.1) * 0.1, float(max(cores, 1))) if top <= cores else top
    columns = [None if value is None else Column(value / top, value / top, value / top) for value in spread]
    area = area_lines(columns, max(width - axis, 4), _CHART_ROWS, ascii=ascii)
    labels = [percent(top), *[""] * (_CHART_ROWS - 2), "0%"]
    lines: list[Line] = [
        [Run(label.rjust(axis - 1) + " ", Tone.MUTED), *line] for label, line in zip(labels, area, strict=True)
    ]
    peak = max(known) if known else None
    average = sum(known) / len(known) if known else None
    note = f"cpu, last minute · average {percent(average, 1)} · peak {percent(peak, 1)}"
    lines.append([Run(" " * axis), Run(cut(note, max(width - axis, 1), ascii=ascii), Tone.MUTED)])
    return lines


def _family(model: ProcessModel, row: int, width: int, *, ascii: bool) -> list[Line]:
    chain = list(reversed(model.parents(row)))
    lines: list[Line] = [[Run("parents", Tone.MUTED), Run("" if chain else "  none known", Tone.MUTED)]]
    corner = "`- " if ascii else "└─ "
    for depth, one in enumerate([*chain, row]):
        indent = "  " + ("   " * (depth - 1) + corner if depth else "")
        indent = cut(indent, max(width // 2, 4), ascii=ascii)
        text = f"{model.table.pid[one]} {model.text('name', one)}"
        lines.append(
            [
                Run(indent, Tone.BORDER),
                Run(cut(text, max(width - width_of(indent), 1), ascii=ascii), Tone.VALUE if one == row else Tone.TEXT),
            ]
        )
    children = model.children(row)
    if children:
        names = ", ".join(f"{model.table.pid[one]} {model.text('name', one)}" for one in children[:20])
        more = f" and {len(children) - 20} more" if len(children) > 20 else ""
        lines.append(_pair("children", f"{len(children)}: {names}{more}", Tone.TEXT, width, ascii=ascii))
    return lines


def _pair(label: str, text: str, tone: Tone, width: int, *, ascii: bool) -> Line:
    return [Run(left(label, _LABEL), Tone.MUTED), Run(cut(text, max(width - _LABEL, 1), ascii=ascii), tone)]


def _io(rate: float | None, total: int | None) -> str:
    if rate is None and total is None:
        return f"{UNKNOWN} (the kernel does not tell)"
    now = UNKNOWN if rate is None else f"{format_bytes(rate)}/s"
    return f"{now} · {format_bytes(None if total is None else float(total))} in total"


def _state(letter: str) -> str:
    name = _STATES.get(letter[:1])
    return f"{letter} {name}" if name else letter or UNKNOWN


def _started(started_at_ms: int, now_ms: int) -> str:
    if started_at_ms <= 0:
        return UNKNOWN
    try:
        began = dt.datetime.fromtimestamp(started_at_ms / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    return f"{began:%Y-%m-%d %H:%M:%S} · {format_seconds(max(now_ms - started_at_ms, 0) / 1000)} ago"
