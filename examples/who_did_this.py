"""Find the CPU peak of a host's last minutes and show the processes that were recorded then.

python examples/who_did_this.py [HOST] [15m]
"""

import sys
from datetime import datetime

from cybercorp import Client
from cybercorp.security.display import safe_text


def main(host: str = "", since: str = "15m") -> None:
    with Client() as fleet:
        host = host or fleet.hosts.list()[0].name
        cpu = fleet.metrics.query("cpu", hosts=host, since=since, step="1s", aggregation="max")
        values = [value if value is not None else -1.0 for value in cpu.series[0].values]
        peak = max(range(len(values)), key=values.__getitem__)
        at_ms = cpu.timestamps_ms[peak]
        print(f"{host}: CPU peak {values[peak]:.0%} at {datetime.fromtimestamp(at_ms / 1000).astimezone():%H:%M:%S}")

        # The top processes are recorded every ten seconds: look from just after the peak.
        table = fleet.processes.list(host, at_ms=at_ms + 10_000).table
        order = sorted(range(len(table.pid)), key=lambda i: table.cpu[i] or 0.0, reverse=True)
        for i in order[:5]:
            share = table.cpu[i]
            busy = "–" if share is None else f"{share:.0%}"
            name = safe_text(table.name[i], 40)  # a process may call itself anything, terminal escapes included
            print(f"{table.pid[i]:>8} {busy:>6} {table.rss_bytes[i] >> 20:>6} MiB  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
