"""Load averages, threads and uptime."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.load import LoadMonitor, parse_load


def test_load_threads_and_uptime(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """Three averages, the number of threads, and seconds since the start."""
    (proc / "loadavg").write_bytes(b"0.40 12.05 3.00 2/1234 999\n")
    read = take(LoadMonitor(proc=str(proc), uptime=lambda: 61.234))
    assert list(read.values()) == [0.4, 12.05, 3.0, 1234.0, 61.23]
    assert read["system.cpu.load_average.1m"] == 0.4


@pytest.mark.parametrize("text", [b"", b"1 2", b"1 2 3 4", b"a b c 1/2 3", b"1 2 3 1/x"])
def test_what_is_no_load_is_an_error(text: bytes) -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError):  # noqa: PT011 - which message does not matter
        parse_load(text)
