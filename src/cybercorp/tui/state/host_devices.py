"""The panels that list devices: disks, network interfaces, filesystems, sensors with GPUs and batteries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cybercorp.core.units import UNKNOWN
from cybercorp.tui.state.charts import sparkline
from cybercorp.tui.state.host_catalogue import FilesystemSlots, Pair
from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import Canvas, ChartArea, PanelText, bar, message, title
from cybercorp.tui.state.lines import Line, Run, Tone, fit, heat, left, line_width, right, spread, width_of
from cybercorp.tui.state.scales import Scale, byte_scale, percent

_Item = TypeVar("_Item")
_NUMBER = 8  # cells of a rate, with one blank before it: " 1,023.9"


def disks_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Bytes read and written per second and the share of time each disk was busy."""
    disks = metrics.catalogue.disks
    if not disks:
        return message("Disk I/O", "This host reports no disks.", canvas)
    # A partition's bytes are its disk's bytes too: the sum is over whole disks only.
    names = {pair.name for pair in disks}
    whole = [pair for pair in disks if not _is_partition(pair.name, names)]
    total = metrics.total_rate([slot for pair in whole for slot in (pair.first, pair.second) if slot is not None])
    return _pairs_panel(metrics, canvas, "Disk I/O", _by_importance(metrics, disks, whole), total, ("read", "write"))


def network_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Bytes received and sent per second by each interface; the title leaves the loopback out."""
    networks = metrics.catalogue.networks
    if not networks:
        return message("Network", "This host reports no network interface.", canvas)
    outside = [pair for pair in networks if pair.name != "lo"]
    total = metrics.total_rate([slot for pair in outside for slot in (pair.first, pair.second) if slot is not None])
    arrows = ("in", "out") if canvas.ascii else ("↓ in", "↑ out")
    return _pairs_panel(metrics, canvas, "Network", _by_importance(metrics, networks, outside), total, arrows)


def _is_partition(name: str, names: set[str]) -> bool:
    stem = name.rstrip("0123456789")
    return stem != name and (stem in names or (stem.endswith("p") and stem[:-1] in names))


def _by_importance(metrics: HostMetrics, pairs: Sequence[Pair], important: Sequence[Pair]) -> list[Pair]:
    """Important devices first, those that never moved a byte last; otherwise in the order of names, so rows stay."""

    def rank(pair: Pair) -> tuple[bool, bool]:
        moved = any((metrics.value(slot) or 0) > 0 for slot in (pair.first, pair.second))
        return (not moved, pair not in important)

    return sorted(pairs, key=rank)


def _pairs_panel(
    metrics: HostMetrics, canvas: Canvas, name: str, pairs: list[Pair], total: float | None, heads: tuple[str, str]
) -> PanelText:
    top = metrics.scale_of([slot for pair in pairs for slot in (pair.first, pair.second)])
    # Four digits before the point: the burst of the last minutes must not round the trickle of now to zero.
    scale = byte_scale(top / 9, per_second=True, least="KiB")
    key = byte_scale(total, per_second=True, least="KiB").full(total)
    shown, hidden = _room(pairs, canvas.height - 1)
    with_busy = canvas.width >= 42 and any(pair.busy is not None for pair in pairs)
    names = min(max((width_of(pair.name) for pair in shown), default=4), max(canvas.width // 3, 6))
    rest = canvas.width - names - 2 * _NUMBER - (6 if with_busy else 0)
    spark = min(rest - 1, 24) if rest >= 5 else 0
    names += max(rest - spark - 1, 0) if spark else max(rest, 0)
    header: Line = [Run(" " * names)]
    header += [Run(right(one, _NUMBER), Tone.MUTED) for one in heads]
    if with_busy:
        header.append(Run(right("busy", 6), Tone.MUTED))
    if spark:
        header.append(Run(" " + right("5 min", spark), Tone.MUTED))
    lines = [header]
    lines += [_pair_line(metrics, pair, scale, names, spark, canvas, with_busy=with_busy) for pair in shown]
    if hidden:
        lines.append([Run(f"{'...' if canvas.ascii else '…'} {hidden} more", Tone.MUTED)])
    chart = ChartArea(canvas.width - spark, 1, spark, len(shown)) if spark and shown else None
    return PanelText(title(name, key), lines[: canvas.height], [Run(scale.unit, Tone.MUTED)], chart=chart)


def _pair_line(
    metrics: HostMetrics, pair: Pair, scale: Scale, names: int, spark: int, canvas: Canvas, *, with_busy: bool
) -> Line:
    line: Line = [Run(left(pair.name, names, ascii=canvas.ascii))]
    for slot in (pair.first, pair.second):
        rate = metrics.rate(slot)
        busy_now = rate is not None and rate / scale.divisor >= 0.05
        line.append(Run(right(scale.text(rate), _NUMBER), Tone.VALUE if busy_now else Tone.MUTED))
    if with_busy:
        busy = metrics.rate(pair.busy)
        busy = None if busy is None else min(busy, 1.0)
        line.append(Run(right(percent(busy), 6), heat(busy)))
    if spark:
        values = metrics.spark([pair.first, pair.second], spark)
        top = max([1024.0, *(value for value in values if value is not None)])
        line.append(Run(" " + sparkline(values, spark, high=top, ascii=canvas.ascii), Tone.SECOND))
    return line


def _room(items: Sequence[_Item], height: int) -> tuple[Sequence[_Item], int]:
    if len(items) <= height:
        return items, 0
    shown = max(height - 1, 0)
    return items[:shown], len(items) - shown


def filesystems_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """Space in use as `df` counts it, with a meter, and what is free."""
    filesystems = _distinct(metrics)
    if not filesystems:
        return message("Filesystems", "This host reports no filesystem.", canvas)
    ratios = {id(one): _filesystem_ratio(metrics, one) for one in filesystems}
    fullest = max(
        (one for one in filesystems if ratios[id(one)] is not None),
        key=lambda one: ratios[id(one)] or 0.0,
        default=filesystems[0],
    )
    scale = byte_scale(max((metrics.value(one.free) or 0.0 for one in filesystems), default=0.0), least="MiB")
    shown, hidden = _room(filesystems, canvas.height)
    frees = {id(one): scale.full(metrics.value(one.free)) for one in shown}
    free_width = max((len(text) for text in frees.values()), default=1) + 5
    names = min(max((width_of(one.mountpoint) for one in shown), default=4), max(canvas.width // 3, 8))
    size = canvas.width - names - 6 - free_width - 1
    if size < 4:
        size, names = 0, canvas.width - 6 - free_width
    if size > 30:
        names, size = names + size - 30, 30
    lines: list[Line] = []
    for one in shown:
        ratio = ratios[id(one)]
        line: Line = [
            Run(left(_tail(one.mountpoint, names, canvas), names)),
            Run(right(percent(ratio), 5), heat(ratio)),
        ]
        line += [Run(" "), *bar(ratio, size, ascii=canvas.ascii), Run(" ")] if size else [Run(" ")]
        free = right(frees[id(one)], free_width - 5)
        lines.append([*line, Run(free), Run(" free", Tone.MUTED)])
    if hidden:
        lines.append([Run(f"{'...' if canvas.ascii else '…'} {hidden} more", Tone.MUTED)])
    worst = ratios[id(fullest)]
    note = [Run(_tail(fullest.mountpoint, max(canvas.width - 24, 0), canvas), Tone.MUTED)] if len(shown) > 1 else []
    lines = [fit(line, canvas.width, ascii=canvas.ascii) for line in lines[: canvas.height]]
    return PanelText(title("Filesystems", percent(worst), heat(worst)), lines, note)


def _tail(path: str, width: int, canvas: Canvas) -> str:
    """A path cut at its front: its end says which one it is."""
    if width_of(path) <= width:
        return path
    if width <= 1:
        return ""
    kept = path
    while kept and width_of(kept) > width - 1:
        kept = kept[1:]
    return ("~" if canvas.ascii else "…") + kept


def _filesystem_ratio(metrics: HostMetrics, one: FilesystemSlots) -> float | None:
    ratio = metrics.value(one.ratio)
    if ratio is not None:
        return ratio
    used, free = metrics.value(one.used), metrics.value(one.free)
    return used / (used + free) if used is not None and free is not None and used + free > 0 else None


def _distinct(metrics: HostMetrics) -> list[FilesystemSlots]:
    """One row for a device that is mounted in many places, at its shortest mount point; empty ones are left out."""
    best: dict[str, FilesystemSlots] = {}
    for one in metrics.catalogue.filesystems:
        if _filesystem_ratio(metrics, one) is None:
            continue
        shared = one.device.startswith("/dev/") or "/" in one.device
        key = one.device if shared else one.mountpoint
        kept = best.get(key)
        if kept is None or len(one.mountpoint) < len(kept.mountpoint):
            best[key] = one
    return [
        one for one in metrics.catalogue.filesystems if best.get(one.device) is one or best.get(one.mountpoint) is one
    ]


def has_sensors(metrics: HostMetrics) -> bool:
    """True where this host has anything for the panel; it is hidden otherwise."""
    catalogue = metrics.catalogue
    return bool(catalogue.temperatures or catalogue.fans or catalogue.batteries or catalogue.gpus)


def sensors_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """GPUs, temperatures, fans and batteries; the hottest reading is the key number."""
    catalogue = metrics.catalogue
    rows: list[Line] = []
    hottest: float | None = None
    for gpu in catalogue.gpus:
        ratio = metrics.value(gpu.utilization)
        degrees, power = metrics.value(gpu.temperature), metrics.value(gpu.power)
        values: Line = [Run(percent(ratio), heat(ratio))]
        if degrees is not None:
            values.append(Run(f"  {degrees:.0f} °C", heat(degrees / 100)))
            hottest = max(hottest or degrees, degrees)
        if power is not None:
            values.append(Run(f"  {power:.0f} W"))
        rows.append(_named(gpu.name, values, canvas))
    readings = [(label, metrics.value(slot)) for label, slot in catalogue.temperatures]
    readings.sort(key=lambda item: item[0])
    for label, value in readings:
        if value is not None:
            hottest = value if hottest is None else max(hottest, value)
        text = UNKNOWN if value is None else f"{value:.0f} °C"
        rows.append(_named(label, [Run(text, heat(None if value is None else value / 100))], canvas))
    for label, slot in catalogue.batteries:
        charge = metrics.value(slot)
        rows.append(_named(label, [Run(percent(charge), heat(None if charge is None else 1 - charge))], canvas))
    for label, slot in catalogue.fans:
        speed = metrics.value(slot)
        rows.append(_named(label, [Run(UNKNOWN if speed is None else f"{speed:,.0f} rpm")], canvas))
    shown, hidden = _room(rows, canvas.height)
    lines = list(shown)
    if hidden:
        lines.append([Run(f"{'...' if canvas.ascii else '…'} {hidden} more", Tone.MUTED)])
    key = f"{hottest:.0f} °C" if hottest is not None else ""
    return PanelText(title("Sensors", key, heat(None if hottest is None else hottest / 100)), lines)


def _named(label: str, values: Line, canvas: Canvas) -> Line:
    room = canvas.width - line_width(values) - 1
    return spread([Run(left(label, max(room, 1), ascii=canvas.ascii), Tone.MUTED)], values, canvas.width)
