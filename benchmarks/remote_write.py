"""Feed recorded rows to a server by Prometheus remote write, and tell what it cost that server.

    python -m benchmarks.remote_write URL PID HOSTS ROWS

One request a host and second of recording, as an agent would send it; the first second, which creates the series, is
not counted. Prints one JSON object. Loopback only. The format is
https://prometheus.io/docs/specs/prw/remote_write_spec/ (protobuf in snappy).
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from urllib.parse import urlsplit

import aiohttp
import cramjam
import numpy as np

from benchmarks.measure import Meter
from cybercorp.bench.recording import HOST_SHIFT, SERIES, catalogue, recorded_values

SETTLE_S = 5
AT_ONCE = 16
HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_NAME_SIGNS = str.maketrans({".": "_", "/": "_"})


def varint(number: int) -> bytes:
    """A protobuf integer."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(tag: int, body: bytes) -> bytes:
    """A protobuf field of bytes."""
    return bytes([tag << 3 | 2]) + varint(len(body)) + body


def label(name: str, value: str) -> bytes:
    """A label of a series."""
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def labels_of(host: int) -> list[bytes]:
    """The labels of every series of a host (metric name, attributes, host), sorted as the format wants."""
    found = []
    for series in catalogue().series:
        pairs = {"__name__": series.name.translate(_NAME_SIGNS), "host": f"h{host}", **series.attributes}
        found.append(b"".join(label(name, value) for name, value in sorted(pairs.items())))
    return found


class Sender:
    """Rows of `hosts` hosts, from `rows` seconds ago to now; `values` [seconds, series] instead of the recording's."""

    def __init__(self, hosts: int, rows: int, values: np.ndarray | None = None) -> None:
        self._values = recorded_values() if values is None else values
        self._labels = [labels_of(host) for host in range(hosts)]
        self._start_ms = time.time_ns() // 1_000_000 - rows * 1000

    def request(self, host: int, second: int) -> bytes:
        """The body of one request."""
        row = self._values[(second + host * HOST_SHIFT) % len(self._values)].tolist()
        stamp = b"\x10" + varint(self._start_ms + second * 1000)
        body = b"".join(
            field(1, head + field(2, b"\x09" + struct.pack("<d", value) + stamp))
            for head, value in zip(self._labels[host], row, strict=True)
        )
        return bytes(cramjam.snappy.compress_raw(body))


async def send(url: str, pid: int, hosts: int, rows: int, values: np.ndarray | None = None) -> dict[str, float]:
    """Send everything; returns CPU seconds and samples."""
    if urlsplit(url).hostname != "127.0.0.1":
        raise SystemExit("The sender talks to loopback only.")
    sender, gate, refused, cpu_s = Sender(hosts, rows, values), asyncio.Semaphore(AT_ONCE), 0, 0.0
    async with aiohttp.ClientSession() as session:

        async def post(body: bytes) -> None:
            nonlocal refused
            async with gate, session.post(url, data=body, headers=HEADERS) as answer:
                refused += answer.status >= 300

        await asyncio.gather(*(post(sender.request(host, 0)) for host in range(hosts)))
        for second in range(1, rows):
            bodies = [sender.request(host, second) for host in range(hosts)]
            meter = Meter(pid)
            await asyncio.gather(*(post(body) for body in bodies))
            cpu_s += meter.cpu_seconds()
        meter = Meter(pid)
        await asyncio.sleep(SETTLE_S)
        cpu_s += meter.cpu_seconds()
    return {"samples": (rows - 1) * hosts * SERIES, "cpu_s": cpu_s, "refused": refused, "rss_mb": meter.rss_mb()}


if __name__ == "__main__":
    hosts_, rows_ = map(int, sys.argv[3:5])
    print(json.dumps(asyncio.run(send(sys.argv[1], int(sys.argv[2]), hosts_, rows_))))
