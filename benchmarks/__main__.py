"""Run benchmarks and write docs/performance.md.

    python -m benchmarks [NAME …]     what is named; `quick` (also without a name), `peers-all`, `all` are groups
    python -m benchmarks page         only write the page anew from what was measured

A benchmark that misses its bar or cannot run does not stop the others; the exit status is 1 then, and 3 where a
program that is needed is not installed.
"""

from __future__ import annotations

import datetime as dt
import importlib
import sys
import time

from benchmarks.measure import Result, machine, peers, report
from benchmarks.pages import Measured, keep, write_page
from cybercorp.cli.launch.signals import signals_interrupt
from cybercorp.core.version import VERSION

TITLES = {
    "startup": "Start",
    "agent_idle": "An agent that nobody watches",
    "agent_watched": "An agent whose processes somebody watches",
    "dashboard": "Dashboard",
    "server_load": "A server with a thousand agents and fifty viewers",
    "peers": "Ingest beside Prometheus and VictoriaMetrics",
    "peer_storage": "Disk beside VictoriaMetrics",
    "queries": "Queries beside VictoriaMetrics",
    "log": "The append log",
    "rollup_size": "Rollups",
    "opening": "Opening after kill -9",
    "process_history": "Process history",
    "encryption": "Encryption at rest",
    "audit_verify": "The check of the audit trail",
    "auth_cost": "Authentication and authorisation",
    "ingest_auth": "Authentication of agents in the ingest path",
    "reconnects": "Ten thousand agents reconnect over TLS",
    "replay": "Replay",
    "postgres": "PostgreSQL",
    "postgres_scale": "PostgreSQL at size",
    "ten_thousand": "Ten thousand agents",
    "growth": "Growth",
}
PEERS = ("peers", "peer_storage", "queries")
LONG = ("ten_thousand", "growth", "reconnects")
GROUPS = {
    "quick": tuple(name for name in TITLES if name not in (*PEERS, *LONG)),
    "peers-all": PEERS,
    "all": tuple(TITLES),
}
# In the tables of issue and page stands the whole work; alone each one takes a shorter form unless asked.
WHOLE: dict[str, tuple[int, ...]] = {"opening": (1_000, 3_600)}
MISSED, NOT_RUN = 1, 3


def run(name: str, *, whole: bool) -> int:
    """One benchmark; 0, MISSED or NOT_RUN."""
    print(f"── {name}", file=sys.stderr, flush=True)
    results: list[Result] = []
    missing, began = "", time.monotonic()
    try:
        module = importlib.import_module(f"benchmarks.{name}")
        results = module.measure(*WHOLE.get(name, ()) if whole else ())
    except SystemExit as reason:
        missing = str(reason)
    except Exception as error:  # noqa: BLE001 - told on the page; the others are still measured
        missing = f"{type(error).__name__}: {error}"
    code = NOT_RUN if missing else report(results)
    day = f"{dt.datetime.now().astimezone():%Y-%m-%d}"
    if results or missing:
        keep(
            Measured(
                name=name, day=day, version=VERSION, machine=machine(), peers=peers(name), results=results,
                missing=missing,
            )
        )  # fmt: skip
    print(f"── {name}: {missing or f'{time.monotonic() - began:.0f} s'}", file=sys.stderr, flush=True)
    return code


def main(arguments: list[str]) -> int:
    """Run the named ones in the page's order."""
    unknown = [one for one in arguments if one not in TITLES and one not in GROUPS and one != "page"]
    if unknown:
        print(f"There is no benchmark '{unknown[0]}'. Known: {', '.join([*GROUPS, *TITLES])}, page.", file=sys.stderr)
        return 2
    asked = {name for one in arguments or ["quick"] for name in GROUPS.get(one, (one,))}
    codes = [run(name, whole="all" in arguments or name in arguments) for name in TITLES if name in asked]
    write_page(TITLES)
    return max(codes, default=0)


if __name__ == "__main__":
    with signals_interrupt():
        sys.exit(main(sys.argv[1:]))
