"""Find the CPU peak of a host's last minutes and show the processes that were recorded then.

python examples/who_did_this.py [HOST] [15m]
"""

import sys
from datetime import datetime

from cybercorp import Client


def main(host: str = "", since: str = "15m") -> None:
    with Client() as fleet:
        name = host or fleet.hosts.list()[0].name
        cpu = fleet.metrics.query("cpu", hosts=name, since=since, step="1s", aggregation="max")
        values = [value if value is not None else -1.0 for value in cpu.series[0].values]
        peak = max(range(len(values)), key=values.__getitem__)
        at_ms = cpu.timestamps_ms[peak]
        print(f"{name}: CPU peak {values[peak]:.0%} at {datetime.fromtimestamp(at_ms / 1000).astimezone():%H:%M:%S}")

        # The top processes are recorded every ten seconds: look from just after the peak.
        table = fleet.processes.list(name, at_ms=at_ms + 10_000).table
        order = sorted(range(len(table.pid)), key=lambda i: table.cpu[i] or 0.0, reverse=True)
        for i in order[:5]:
            share = table.cpu[i]
            print(
                f"{table.pid[i]:>8} {'–' if share is None else f'{share:.0%}':>6} {table.rss_bytes[i] >> 20:>6} MiB  {table.name[i]}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:3])
