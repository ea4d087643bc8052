"""The panels of memory, load and pressure."""

from __future__ import annotations

from cybercorp.core.units import UNKNOWN
from cybercorp.tui.state.charts import Column, meter, sparkline
from cybercorp.tui.state.host_cpu import area_lines
from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import Canvas, ChartArea, PanelText, bar, message, title
from cybercorp.tui.state.lines import Line, Run, Tone, fit, heat, left, line_width, right, spread
from cybercorp.tui.state.scales import byte_scale, count_scale, percent

_CACHE_STATES = ("cached", "buffered", "slab_reclaimable")


def memory_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Used, cache and free as one bar and as numbers, five minutes where there is room, swap and paging."""
    catalogue = metrics.catalogue
    used = metrics.value(catalogue.memory.get("used"))
    ratio = metrics.value(catalogue.memory_ratio)
    total = metrics.value(catalogue.memory_limit)
    parts = [metrics.value(slot) for slot in catalogue.memory.values()]
    if total is None and all(one is not None for one in parts) and parts:
        total = sum(one for one in parts if one is not None)
    if used is None and ratio is None:
        return message("Memory", "This host does not report its memory.", canvas)
    if used is None and ratio is not None and total is not None:
        used = ratio * total
    if ratio is None and used is not None and total:
        ratio = used / total
    scale = byte_scale(total, least="MiB")
    key = f"{scale.text(used)} / {scale.full(total)}"
    cached = [metrics.value(slot) for state, slot in catalogue.memory.items() if state in _CACHE_STATES]
    cache = sum(one for one in cached if one is not None) if any(one is not None for one in cached) else None
    free = metrics.value(catalogue.memory.get("free"))
    lines = [_memory_bar(ratio, cache, total, canvas)]
    if canvas.height >= 2:
        lines.append(_legend(used, cache, free, total, canvas))
    tail = _swap_lines(metrics, canvas)[: max(canvas.height - 2, 0)]
    room = canvas.height - len(lines) - len(tail)
    chart = None
    if room >= 2:
        chart = ChartArea(0, 0, canvas.width, room, 1 if canvas.ascii else 2)
        columns = metrics.columns(catalogue.memory_ratio, canvas.width * chart.per_cell)
        lines = [*area_lines(columns, canvas.width, room, ascii=canvas.ascii), *lines]
    elif room == 1 and len(tail) == 2:
        lines.append([])
    return PanelText(title("Memory", key), lines + tail, [Run(percent(ratio), heat(ratio))], chart=chart)


def _memory_bar(ratio: float | None, cache: float | None, total: float | None, canvas: Canvas) -> Line:
    if ratio is None:
        return [Run(meter(None, canvas.width, ascii=canvas.ascii), Tone.MUTED)]
    used = meter(ratio, canvas.width, ascii=canvas.ascii).rstrip()
    share = (cache or 0.0) / total if total else 0.0
    both = min(round((min(ratio, 1.0) + share) * canvas.width), canvas.width)
    cells = max(both - len(used), 0)
    return [
        Run(used, heat(ratio)),
        Run(("=" if canvas.ascii else "▒") * cells, Tone.CACHE),
        Run(("." if canvas.ascii else "░") * (canvas.width - len(used) - cells), Tone.BORDER),
    ]


def _legend(used: float | None, cache: float | None, free: float | None, total: float | None, canvas: Canvas) -> Line:
    scale = byte_scale(total, least="MiB")
    with_used = canvas.width >= 38
    line: Line = [Run("used ", Tone.MUTED), Run(f"{scale.text(used)}  ", Tone.TEXT)] if with_used else []
    if cache is not None:
        line += [Run("cache ", Tone.MUTED), Run(f"{scale.text(cache)}  ", Tone.CACHE)]
    line += [Run("free ", Tone.MUTED), Run(scale.text(free), Tone.TEXT)]
    return spread(line, [Run(scale.unit, Tone.MUTED)], canvas.width, ascii=canvas.ascii)


def _swap_lines(metrics: HostMetrics, canvas: Canvas) -> list[Line]:
    catalogue = metrics.catalogue
    states = {state: metrics.value(slot) for state, slot in catalogue.swap.items()}
    used, total = states.get("used"), sum(one for one in states.values() if one is not None)
    lines: list[Line] = []
    if total > 0:
        ratio = metrics.value(catalogue.swap_ratio)
        ratio = used / total if ratio is None and used is not None else ratio
        scale = byte_scale(total, least="MiB")
        numbers = f" {scale.text(used)} / {scale.full(total)}"
        size = canvas.width - 5 - len(numbers)
        line: Line = [Run("swap ", Tone.MUTED)]
        if size >= 4:
            line += bar(ratio, size, ascii=canvas.ascii)
        lines.append([*line, Run(numbers.strip() if size < 4 else numbers)])
    elif states:
        lines.append([Run("swap ", Tone.MUTED), Run("none", Tone.MUTED)])
    if catalogue.paging:
        rates = {name: metrics.total_rate(slots) for name, slots in catalogue.paging.items()}
        line = [Run("paging", Tone.MUTED)]
        for name, rate in sorted(rates.items()):
            text = UNKNOWN if rate is None else f"{rate:,.0f}/s"
            line += [Run(f" {name} ", Tone.MUTED), Run(text, Tone.WARNING if (rate or 0) >= 100 else Tone.TEXT)]
        lines.append(fit(line, canvas.width, ascii=canvas.ascii))
    return lines


def load_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Load averages against the number of cores, processes, context switches and interrupts."""
    catalogue = metrics.catalogue
    if not catalogue.load:
        return message("Load", "This host has no load average.", canvas)
    cores = max(len(catalogue.cores), 1)
    values = {name: metrics.value(catalogue.load.get(name)) for name in ("1m", "5m", "15m")}
    one = values["1m"]
    line: Line = []
    for name, value in values.items():
        text = UNKNOWN if value is None else f"{value:.2f}"
        line += [Run(("  " if line else "") + f"{name} ", Tone.MUTED), Run(text, heat(_per_core(value, cores)))]
    lines = [fit(line, canvas.width, ascii=canvas.ascii)]
    tail = _activity_lines(metrics, canvas)
    room = canvas.height - len(lines) - len(tail)
    chart = ChartArea(0, 1, canvas.width, 1)
    if room >= 3:
        chart = ChartArea(0, 1, canvas.width, room, 1 if canvas.ascii else 2)
        lines += _load_area(metrics, Canvas(canvas.width, room, canvas.ascii), cores)
    else:
        spark = metrics.spark([catalogue.load.get("1m")], canvas.width)
        top = max([float(cores), *(value for value in spark if value is not None)])
        drawn = sparkline(spark, canvas.width, high=top, ascii=canvas.ascii)
        lines.append([Run(drawn, heat(_per_core(one, cores)))])
    lines += tail
    key = UNKNOWN if one is None else f"{one:.2f}"
    note = [Run(f"{cores} core{'s' if cores > 1 else ''}", Tone.MUTED)]
    head = title("Load", key, heat(_per_core(one, cores)))
    return PanelText(head, lines[: canvas.height], note, chart=chart if canvas.height >= 2 else None)


def _load_area(metrics: HostMetrics, canvas: Canvas, cores: int) -> list[Line]:
    """Load over time; its full height is one waiting task a core, or the largest load if that is more."""
    columns = metrics.columns(metrics.catalogue.load.get("1m"), canvas.width * (1 if canvas.ascii else 2))
    top = max([float(cores), *(one.high for one in columns if one is not None)])
    scaled = [None if one is None else Column(one.low / top, one.mid / top, one.high / top) for one in columns]
    return area_lines(scaled, canvas.width, canvas.height, ascii=canvas.ascii)


def _per_core(load: float | None, cores: int) -> float | None:
    """Half again as much waiting work as there are cores is as hot as it gets."""
    return None if load is None else load / cores / 1.5


def _activity_lines(metrics: HostMetrics, canvas: Canvas) -> list[Line]:
    catalogue = metrics.catalogue
    lines: list[Line] = []
    counts = {status: metrics.value(slot) for status, slot in catalogue.processes.items()}
    known = {status: int(count) for status, count in counts.items() if count is not None}
    if known:
        line: Line = []
        for status, tone in (("running", Tone.TEXT), ("blocked", Tone.WARNING), ("zombie", Tone.WARNING)):
            if status in known and (known[status] or status == "running"):
                line += [Run(f"{'  ' if line else ''}{known[status]:,}", tone), Run(f" {status}", Tone.MUTED)]
        lines.append(fit(line, canvas.width, ascii=canvas.ascii))
    rates: Line = []
    for label, slot in (("switches", catalogue.context_switches), ("interrupts", catalogue.interrupts)):
        if slot is not None:
            rate = metrics.rate(slot)
            text = f"{count_scale(rate).full(rate).replace(' ', '')}/s"
            rates += [Run(("  " if rates else "") + text), Run(f" {label}", Tone.MUTED)]
    if rates:
        lines.append(fit(rates if line_width(rates) <= canvas.width else rates[:2], canvas.width, ascii=canvas.ascii))
    return lines


def pressure_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Time lost waiting for CPU, memory and I/O (PSI): some of the tasks, and all of them."""
    pressure = metrics.catalogue.pressure
    if not pressure:
        return message("Pressure", "This kernel has no PSI.", canvas)
    resources = [name for name in ("cpu", "memory", "io", "irq") if any(name == one for one, _ in pressure)]
    some = {name: metrics.value(pressure.get((name, "some"))) for name in resources}
    worst = max((value for value in some.values() if value is not None), default=None)
    lines: list[Line] = []
    for name in resources:
        ratio = some[name]
        if ratio is None and (name, "some") not in pressure:
            ratio = metrics.value(pressure.get((name, "full")))
        full = metrics.value(pressure.get((name, "full")))
        numbers = right(percent(ratio, 1), 6)
        tail = f" full {right(percent(full, 1), 6)}" if canvas.width >= 34 and (name, "full") in pressure else ""
        size = canvas.width - 7 - len(numbers) - len(tail)
        line: Line = [Run(left(name, 7), Tone.MUTED)]
        if size > 24:
            line += [*bar(ratio, 24, ascii=canvas.ascii), Run(" " * (size - 24))]
        elif size >= 3:
            line += bar(ratio, size, ascii=canvas.ascii)
        lines.append([*line, Run(numbers, heat(ratio)), Run(tail, Tone.MUTED)])
    return PanelText(title("Pressure", percent(worst), heat(worst)), lines[: canvas.height], [Run("10 s", Tone.MUTED)])
