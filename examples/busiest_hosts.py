"""Print the hosts of the fleet, the busiest first.

python examples/busiest_hosts.py ['web-* env=prod']
"""

import sys

from cybercorp import Client


def main(selector: str = "*") -> None:
    with Client() as fleet:
        hosts = fleet.hosts.list(selector, sort="cpu", descending=True)
        for host in hosts:
            cpu, memory = host.latest["cpu"], host.latest["mem"]
            print(
                f"{host.name:24} {host.state:8} "
                f"cpu {'–' if cpu is None else f'{cpu:.0%}':>5}  mem {'–' if memory is None else f'{memory:.0%}':>5}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:2])
