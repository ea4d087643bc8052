"""The panels as lines: exact widths at every size, any number of cores, unknown and absent things said plainly."""

from __future__ import annotations

import math

import pytest

from cybercorp.tui.state.host_charts import CHARTS, cell_of, instant_at, with_cursor
from cybercorp.tui.state.host_cpu import chart_area, cpu_panel
from cybercorp.tui.state.host_devices import disks_panel, filesystems_panel, has_sensors, network_panel, sensors_panel
from cybercorp.tui.state.host_layout import PANELS, PROCESSES, Plan, plan
from cybercorp.tui.state.host_memory import load_panel, memory_panel, pressure_panel
from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import Canvas
from cybercorp.tui.state.host_view import HostView
from cybercorp.tui.state.lines import Run, Tone, fit, line_width, text_of
from tests.unit.tui.host_rows import HostRows

DRAW = {
    "cpu": cpu_panel,
    "memory": memory_panel,
    "disks": disks_panel,
    "network": network_panel,
    "filesystems": filesystems_panel,
    "load": load_panel,
    "pressure": pressure_panel,
    "sensors": sensors_panel,
}


def metrics_of(rows: HostRows, seconds: int = 5) -> HostMetrics:
    metrics = HostMetrics()
    rows.feed(metrics, seconds=seconds)
    return metrics


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("ascii", [False, True])
def test_a_panel_never_exceeds_its_canvas(name: str, ascii: bool) -> None:
    """At any size lines are no wider and no more than there is room for."""
    metrics = metrics_of(HostRows(cores=8, sensors=True))
    for width in (16, 20, 26, 38, 56, 96, 200):
        for height in (1, 2, 3, 5, 8, 20):
            content = DRAW[name](metrics, Canvas(width, height, ascii))
            assert len(content.lines) <= height, (width, height)
            widest = max((line_width(line) for line in content.lines), default=0)
            assert widest <= width or all(line_width(fit(line, width)) == width for line in content.lines), (
                width,
                height,
            )


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64, 256, 1024])
def test_every_number_of_cores_fits(cores: int) -> None:
    """From one core to a thousand the meters stay inside the panel and leave room for the chart."""
    metrics = metrics_of(HostRows(cores=cores))
    for width, height in ((44, 5), (54, 8), (96, 12), (150, 20)):
        canvas = Canvas(width, height)
        content = cpu_panel(metrics, canvas)
        assert len(content.lines) == height
        assert all(line_width(line) <= width for line in content.lines)
        assert chart_area(metrics, canvas).height >= height // 3


def test_few_cores_have_meters_and_many_have_glyphs() -> None:
    """Two cores show their numbers; 256 show one block each."""
    two = [text_of(line) for line in cpu_panel(metrics_of(HostRows(cores=2)), Canvas(60, 8)).lines]
    assert "0%" in two[-1]
    assert "10%" in two[-1]
    many = cpu_panel(metrics_of(HostRows(cores=256)), Canvas(60, 14)).lines
    blocks = sum(text_of(line).count(glyph) for line in many[-5:] for glyph in "▁▂▃▄▅▆▇█")
    assert blocks >= 128


def test_the_title_has_the_key_number() -> None:
    """Each panel says the most important thing in its border."""
    rows = HostRows(sensors=True)
    metrics = metrics_of(rows)
    canvas = Canvas(60, 8)
    titles = {name: text_of(draw(metrics, canvas).title) for name, draw in DRAW.items()}
    assert titles["memory"] == "Memory 20.4 / 32.0 GiB"
    assert titles["disks"] == "Disk I/O 2.0 MiB/s"
    assert titles["network"] == "Network 2.0 MiB/s"
    assert titles["filesystems"] == "Filesystems 71%"
    assert titles["load"] == "Load 1.50"
    assert titles["pressure"] == "Pressure 12%"
    assert titles["sensors"] == "Sensors 71 °C"


def test_what_a_host_has_not_is_said() -> None:
    """No PSI, no disk, no load average: a sentence instead of an empty box; sensors are hidden."""
    bare = metrics_of(HostRows(disks=(), pressure=False))
    canvas = Canvas(40, 4)
    assert "no PSI" in text_of(pressure_panel(bare, canvas).lines[0])
    assert "no disks" in text_of(disks_panel(bare, canvas).lines[0])
    assert not has_sensors(bare)
    view = HostView("h")
    view.live = bare
    assert "sensors" not in view.wants()


def test_unknown_is_a_dash_and_never_zero() -> None:
    """NaN from the host is drawn as unknown everywhere."""
    rows = HostRows(sensors=True)
    for key in rows.values:
        rows.values[key] = math.nan
    metrics = HostMetrics()
    catalogue = rows.catalogue
    metrics.set_catalogue(catalogue.id, catalogue.series)
    metrics.add_row(catalogue.id, 1000, rows.row())
    for name, draw in DRAW.items():
        content = draw(metrics, Canvas(50, 8))
        text = text_of(content.title) + "".join(text_of(line) for line in content.lines)
        assert " 0%" not in text.replace("100%", "").replace("  0% ", ""), name
        assert "nan" not in text, name


@pytest.mark.parametrize("name", sorted(CHARTS))
@pytest.mark.parametrize("ascii", [False, True])
def test_the_cursor_points_at_an_instant_of_every_chart(name: str, ascii: bool) -> None:
    """A cell of a chart names its time, the time names the cell, and only that cell of the chart is marked."""
    metrics = metrics_of(HostRows(), seconds=300)
    canvas = Canvas(70, 10, ascii)
    content = DRAW[name](metrics, canvas)
    chart = content.chart
    assert chart is not None
    for x in (chart.x, chart.x + chart.width // 2, chart.x + chart.width - 1):
        at_ms = instant_at(metrics, chart, x)
        assert at_ms is not None
        assert cell_of(metrics, chart, at_ms) == x
        marked = with_cursor(content, x, [Run("13:41:07")], ascii=ascii)
        assert text_of(marked.note) == "13:41:07"
        for row, line in enumerate(marked.lines):
            cursors = [run for run in line if run.tone is Tone.CURSOR]
            inside = chart.y <= row < chart.y + chart.height
            assert len(cursors) == inside
            if inside:
                assert line_width(line[: line.index(cursors[0])]) == x
                assert line_width(line) == max(line_width(content.lines[row]), x + 1)
    assert instant_at(metrics, chart, chart.x - 1) is None
    assert instant_at(metrics, chart, chart.x + chart.width) is None


def test_partitions_are_not_counted_twice() -> None:
    """The disk panel's sum leaves partitions out, whose bytes are their disk's bytes."""
    metrics = metrics_of(HostRows(disks=("vda", "vda1", "vda2", "nvme0n1", "nvme0n1p1")))
    assert text_of(disks_panel(metrics, Canvas(60, 8)).title) == "Disk I/O 4.0 MiB/s"


def test_a_device_mounted_twice_is_shown_once() -> None:
    """Bind mounts show at their shortest mount point."""
    rows = HostRows()
    rows.gauge("system.filesystem.utilization", 0.71, mountpoint="/var/lib/docker/x", device="/dev//", type="ext4")
    lines = filesystems_panel(metrics_of(rows), Canvas(60, 8)).lines
    assert len(lines) == 2


def test_too_many_devices_say_how_many_are_left() -> None:
    """What does not fit is counted."""
    metrics = metrics_of(HostRows(disks=tuple(f"sd{chr(97 + index)}" for index in range(20))))
    lines = disks_panel(metrics, Canvas(50, 6)).lines
    assert len(lines) == 6
    assert text_of(lines[-1]) == "… 16 more"


WANTS = dict.fromkeys(PANELS, 5)


def places(found: Plan) -> set[str]:
    return set(found.boxes)


@pytest.mark.parametrize("size", [(80, 20), (80, 24), (100, 30), (120, 36), (160, 45), (200, 47), (317, 90), (60, 15)])
def test_every_page_fills_the_screen_without_overlap(size: tuple[int, int]) -> None:
    """On each page the boxes cover every cell exactly once, and over all pages every panel is seen."""
    width, height = size
    seen: set[str] = set()
    for page in range(plan(width, height, WANTS).pages):
        found = plan(width, height, WANTS, page=page)
        cells = 0
        for box in found.boxes.values():
            assert 0 <= box.x < box.x + box.width <= width
            assert 0 <= box.y < box.y + box.height <= height
            cells += box.width * box.height
        assert cells == width * height
        seen |= places(found)
    assert seen == {*PANELS, PROCESSES}


def test_a_small_terminal_shows_what_matters_first() -> None:
    """80×24 opens with CPU, memory and processes; the rest is on the next pages, and the last is processes alone."""
    found = plan(80, 20, WANTS)
    assert places(found) == {"cpu", "memory", PROCESSES}
    assert found.boxes[PROCESSES].height >= 8
    assert places(plan(80, 20, WANTS, page=found.pages - 1)) == {PROCESSES}


def test_a_large_terminal_shows_everything() -> None:
    """From 120×40 all panels and a useful process table are on the first page."""
    for width, height in ((120, 36), (200, 46)):
        found = plan(width, height, WANTS)
        assert places(found) == {*PANELS, PROCESSES}
        assert found.boxes[PROCESSES].height >= 10


def test_one_panel_can_take_the_room() -> None:
    """An enlarged panel stands alone above the processes; a panel that is not there changes nothing."""
    found = plan(120, 40, WANTS, enlarged="cpu")
    assert places(found) == {"cpu", PROCESSES}
    assert found.boxes["cpu"].height >= 20
    assert places(plan(120, 40, {"cpu": 3}, enlarged="sensors")) == {"cpu", PROCESSES}


def test_absent_panels_leave_no_gap() -> None:
    """Without sensors and disks their neighbours take the room."""
    found = plan(200, 47, {"cpu": 8, "memory": 6, "network": 3, "filesystems": 3, "load": 4})
    assert sum(box.width * box.height for box in found.boxes.values()) == 200 * 47
