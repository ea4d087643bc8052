"""Run every benchmark and write docs/performance.md: `python -m benchmarks`. Takes about six minutes."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from benchmarks import agent_idle, agent_watched, dashboard, opening, server_load, startup
from benchmarks.measure import Result, machine, peers, report
from cybercorp.core.version import VERSION

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
HEAD = """# Performance

Measured by `make bench` (one command each: `python -m benchmarks.NAME`), written by that run. Machines are shared and
noisy: what counts is the ratio against the peer that ran at the same time on the same machine.

Machine: {machine}. CyberCorp {version}, {day}. Peers: {peers}.

| work | figure | measured | bar | |
|---|---|--:|--:|---|
"""
MODULES = (startup, agent_idle, agent_watched, dashboard, server_load, opening)


def row(result: Result) -> str:
    bar = "" if result.bar is None else f"≤ {result.bar:.3g} {result.unit} {f'({result.peer})' if result.peer else ''}"
    verdict = "" if result.bar is None else "✔" if result.passed else "**falls short**"
    return f"| {result.work} | {result.figure} | {result.value:.3g} {result.unit} | {bar.strip()} | {verdict} |\n"


def main() -> int:
    results, missing = [], []
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        print(f"── {name}", file=sys.stderr, flush=True)
        try:
            results += module.measure()
        except SystemExit as reason:
            missing.append(f"`{name}` was not run: {reason}")
    code = report(results)
    day = f"{dt.datetime.now().astimezone():%Y-%m-%d}"
    text = HEAD.format(machine=machine(), version=VERSION, day=day, peers=peers()) + "".join(map(row, results))
    PAGE.write_text(text + "".join(f"\n{one}\n" for one in missing), encoding="utf-8")
    print(f"written to {PAGE}", file=sys.stderr)
    return code or int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
