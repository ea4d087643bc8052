"""The real readings against what the kernel, `ps` and `df` say of this machine."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cybercorp.core.clock import SystemClock
from cybercorp.monitors.machine import MONITORS
from cybercorp.monitors.processes import COLUMNS, ProcessScanner
from cybercorp.monitors.sampler import Sampler
from cybercorp.monitors.settings import DEFAULT_INTERVALS_S
from cybercorp.protocol.metrics import check_catalogue


def read_now() -> dict[str, float]:
    sampler = Sampler()
    catalogue, body = sampler.sample()
    assert [one for one in sampler.health() if not one.ok] == []
    sampler.close()
    check_catalogue(catalogue)
    return dict(
        zip([one.key for one in catalogue.series], struct.unpack(f"<{len(catalogue.series)}d", body), strict=True)
    )


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"LC_ALL": "C"}).stdout


def busy_wait(seconds: float) -> None:
    """Take CPU time, not wall time: a machine busy with other work does not shorten it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_every_monitor_is_known_by_name() -> None:
    """The names that settings may use are those of the monitors there are."""
    sampler = Sampler()
    assert sorted(one.name for one in sampler.health()) == sorted(MONITORS)
    assert set(DEFAULT_INTERVALS_S) <= set(MONITORS)
    sampler.close()


def test_cpu_times_lie_between_two_readings_of_proc_stat() -> None:
    """Every state of every core, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")

    def times() -> dict[str, list[float]]:
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
        return {row[0][3:]: [int(one) / ticks for one in row[1:9]] for row in rows}

    before = times()
    read = read_now()
    after = times()
    for cpu, row in before.items():
        for state, low, high in zip(
            ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"), row, after[cpu], strict=True
        ):
            attributes = f'cpu="{cpu}",state="{state}"' if cpu else f'state="{state}"'
            # The kernel lets idle and iowait waver by a tick or two.
            assert low - 0.03 <= read[f"system.cpu.time{{{attributes}}}"] <= high + 0.03


def test_utilization_sees_a_busy_core() -> None:
    """A loop that took half a second of CPU time is in the utilization of the time it took."""
    sampler = Sampler()
    catalogue = sampler.catalogue
    started = time.monotonic()
    sampler.sample()
    busy_wait(0.5)
    took = time.monotonic() - started
    _, body = sampler.sample()
    index = [one.key for one in catalogue.series].index("system.cpu.utilization")
    utilization = struct.unpack_from("<d", body, 8 * index)[0]
    sampler.close()
    assert utilization * (os.cpu_count() or 1) * took >= 0.35
    assert utilization <= 1.0


def test_memory_is_that_of_meminfo() -> None:
    """used = total − available, within what changes in a moment."""
    read = read_now()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()}
    total = found["MemTotal"]
    assert read["system.memory.limit"] == total
    assert read['system.memory.usage{state="used"}'] == pytest.approx(total - found["MemAvailable"], abs=total * 0.05)
    assert read['system.memory.utilization{state="used"}'] == pytest.approx(1 - found["MemAvailable"] / total, abs=0.05)
    assert read['system.paging.usage{state="used"}'] == pytest.approx(
        found["SwapTotal"] - found["SwapFree"], abs=total * 0.05
    )


def test_filesystems_are_those_of_df() -> None:
    """Used, available and per cent of every local filesystem that both list, the root among them."""
    read = read_now()
    rows = [line.split() for line in output("df", "-l", "-P", "-k").splitlines()[1:]]
    compared = set()
    for device, _, used, available, percent, mountpoint in (row for row in rows if len(row) == 6):
        for key in read:
            if not key.startswith("system.filesystem.utilization") or f'mountpoint="{mountpoint}",' not in key:
                continue
            if f'device="{device}"' not in key:
                continue
            compared.add(mountpoint)
            usage = key.replace("utilization", "usage").replace(",type", ',state="STATE",type')
            size = int(used) + int(available)
            near = max(2**26, size * 10.24)  # a hundredth, or what others write in a moment
            assert read[usage.replace("STATE", "used")] == pytest.approx(int(used) * 1024, abs=near)
            assert read[usage.replace("STATE", "free")] == pytest.approx(int(available) * 1024, abs=near)
            # df rounds up to whole per cents.
            assert -0.02 <= int(percent.rstrip("%")) / 100 - read[key] <= 0.03
    assert "/" in compared


def test_network_and_disks_lie_between_two_readings() -> None:
    """Bytes of every interface and of every disk."""

    def received() -> dict[str, int]:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
        return {line.split(":")[0].strip(): int(line.split(":")[1].split()[0]) for line in lines}

    def written() -> dict[str, int]:
        rows = [line.split() for line in Path("/proc/diskstats").read_text().splitlines()]
        return {row[2]: int(row[9]) * 512 for row in rows}

    network, disks = received(), written()
    read = read_now()
    assert "lo" in network
    assert 'system.network.io{device="lo",direction="receive"}' in read
    for device, after in received().items():
        key = f'system.network.io{{device="{device}",direction="receive"}}'
        if device in network and key in read:
            assert network[device] <= read[key] <= after
    after_disks = written()
    for key, value in read.items():
        if key.startswith("system.disk.io{") and 'direction="write"' in key:
            device = key.split('"')[1]
            assert disks[device] <= value <= after_disks[device]


def test_load_uptime_and_counters() -> None:
    """What has one number in /proc has that number here."""
    low = [int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("ctxt")]
    read = read_now()
    high = [int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("ctxt")]
    assert low[0] <= read["system.cpu.context_switches"] <= high[0]
    assert read["system.uptime"] == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=2)
    assert read["system.cpu.load_average.15m"] == pytest.approx(
        float(Path("/proc/loadavg").read_text().split()[2]), abs=0.2
    )
    assert read["cybercorp.agent.memory.usage"] > 2**20


def test_processes_are_those_of_ps() -> None:
    """Parent, user, threads, memory, start and name of every process that `ps` saw between two looks of ours."""

    def look() -> dict[int, dict[str, Any]]:
        table = scanner.scan(SystemClock().now_ms())
        assert table.total == len(table.pid)
        return {pid: {one: getattr(table, one)[row] for one in COLUMNS} for row, pid in enumerate(table.pid)}

    scanner = ProcessScanner()
    before = look()
    lines = output("ps", "-eo", "pid=,ppid=,euser:64=,nlwp=,rss=,lstart=,comm=").splitlines()
    after = look()
    compared = 0
    for line in lines:
        pid, parent, user, threads, rss, *rest = line.split(None, 10)
        first, last = before.get(int(pid)), after.get(int(pid))
        if first is None or last is None or first["started_at_ms"] != last["started_at_ms"]:
            continue
        if not first["name"] == last["name"] == rest[5]:
            continue
        compared += 1
        assert int(parent) in (first["parent"], last["parent"])
        assert user in (first["user"], last["user"])
        assert min(first["threads"], last["threads"]) - 2 <= int(threads) <= max(first["threads"], last["threads"]) + 2
        # The kernel counts memory for each processor and sums up roughly.
        low, high = sorted((first["rss_bytes"], last["rss_bytes"]))
        assert low * 0.8 - 2**22 <= int(rss) * 1024 <= high * 1.2 + 2**22
        started = time.mktime(time.strptime(" ".join(rest[:5]), "%a %b %d %H:%M:%S %Y"))
        assert first["started_at_ms"] / 1000 == pytest.approx(started, abs=3)
    assert compared >= 3


def test_the_cpu_of_a_process_is_the_time_it_took() -> None:
    """Ours: half a second of CPU time is half a second, as a share of the time between two scans."""
    scanner = ProcessScanner()
    own = os.getpid()
    started, taken = time.monotonic(), time.process_time()
    scanner.scan(0)
    busy_wait(0.5)
    table = scanner.scan(1)
    taken, took = time.process_time() - taken, time.monotonic() - started
    index = table.pid.index(own)
    share = table.cpu[index]
    assert share is not None
    assert share == pytest.approx(taken / took, abs=0.15)
    assert table.cpu_time_s[index] == pytest.approx(time.process_time(), abs=0.3)


def test_children_are_seen_while_they_live() -> None:
    """A process is in the table as long as it runs, under the command it was started with."""
    scanner = ProcessScanner()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        table = scanner.scan(0)
        index = table.pid.index(child.pid)
        assert table.parent[index] == os.getpid()
    finally:
        child.communicate(b"\n", timeout=30)
    assert child.pid not in scanner.scan(1).pid


def test_linux_needs_neither_psutil_nor_nvml() -> None:
    """A process that samples and scans has loaded no library that it does not need."""
    program = (
        "import sys\n"
        "from cybercorp.monitors.facts import read_facts\n"
        "from cybercorp.monitors.processes import ProcessScanner\n"
        "from cybercorp.monitors.sampler import Sampler\n"
        "read_facts(); Sampler().sample(); ProcessScanner().scan(0)\n"
        "heavy = {'psutil', 'numpy', 'asyncio', 'httpx', 'rich', 'subprocess', 'ctypes'} & set(sys.modules)\n"
        "gpu = 'pynvml' in sys.modules\n"
        "print(sorted(heavy) if not gpu else sorted(heavy - {'ctypes'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_left_open() -> None:
    """A sampler that is closed has given back every descriptor."""
    before = set(Path("/proc/self/fd").iterdir())
    sampler = Sampler()
    sampler.sample()
    sampler.close()
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1  # the listing's own
