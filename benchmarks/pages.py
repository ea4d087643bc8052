"""docs/performance.md: made from what each benchmark measured last, kept in benchmarks/measured/NAME.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import Result

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
MEASURED = ROOT / "benchmarks" / "measured"
HEAD = """# Performance

Written by `python -m benchmarks`, which runs what is named (or everything) and keeps each one's last figures. Machines
are shared and noisy: what counts is the ratio against the peer that ran in turns on the same machine, and CPU time.

| target | what |
|---|---|
| `make bench` | everything quick, about half an hour; the program itself, the server, the store |
| `make bench-peers` | ingest, disk and queries beside Prometheus and VictoriaMetrics; about ten minutes |
| `python -m benchmarks all` | these, and ten thousand agents and 10⁹ samples: more than an hour |
| `cybercorp bench` | the load generator, against a server of its own or yours |

"""
TABLE = "| work | figure | measured | bar | |\n|---|---|--:|--:|---|\n"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one benchmark, of one day on one machine."""

    name: str
    day: str
    version: str
    machine: str
    peers: str
    results: list[Result]
    missing: str = ""


def keep(measured: Measured) -> None:
    """Remember it in place of what was measured before; one that could not run takes nothing's place."""
    path = MEASURED / f"{measured.name}.json"
    if measured.missing and path.exists():
        return
    MEASURED.mkdir(exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(measured), indent=1)
    path.write_bytes(data + b"\n")


def write_page(titles: dict[str, str]) -> None:
    """Write it anew."""
    PAGE.write_text(page_text(titles), encoding="utf-8")


def page_text(titles: dict[str, str]) -> str:
    """A section for each benchmark in the order of `titles`; those never measured are named."""
    text, unknown = HEAD, []
    for name, title in titles.items():
        path = MEASURED / f"{name}.json"
        if not path.exists():
            unknown.append(name)
            continue
        text += section(title, msgspec.json.decode(path.read_bytes(), type=Measured))
    if unknown:
        text += f"Not measured yet: {', '.join(f'`{name}`' for name in unknown)}.\n"
    return text.rstrip() + "\n"


def section(title: str, measured: Measured) -> str:
    """Its heading, command, table and figures that are one of a row of sizes."""
    peers = f" Peers: {measured.peers}." if measured.peers else ""
    lines = [
        f"## {title}\n",
        f"`python -m benchmarks {measured.name}`, {measured.day}, CyberCorp {measured.version}. "
        f"{measured.machine}.{peers}\n",
    ]
    if measured.missing:
        lines.append(f"**Was not measured:** {measured.missing}\n")
    if measured.results:
        lines.append(TABLE + "".join(map(row, measured.results)))
    plots = bars(measured.results) if measured.name == "growth" else ""
    return "\n".join(lines) + (f"\n{plots}" if plots else "") + "\n"


def row(result: Result) -> str:
    """One line of the table."""
    bar = (
        ""
        if result.bar is None
        else f"≤ {number(result.bar)} {result.unit} {f'({result.peer})' if result.peer else ''}"
    )
    verdict = "" if result.bar is None else "✔" if result.passed else "**falls short**"
    return f"| {result.work} | {result.figure} | {number(result.value)} {result.unit} | {bar.strip()} | {verdict} |\n"


def number(value: float) -> str:
    """Three digits that count, never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bars(results: Sequence[Result]) -> str:
    """Every figure that was measured at several sizes, drawn over them."""
    found: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        if one.unit != "×":
            found.setdefault((one.figure, one.unit), []).append(one)
    drawn = []
    for (figure, unit), several in found.items():
        if len(several) < 2:
            continue
        most = max(one.value for one in several) or 1
        drawn.append(f"{figure} ({unit})")
        for one in several:
            size = one.work.partition(" ")[0]
            drawn.append(f"  {size:>8} {'█' * max(1, round(30 * one.value / most))} {number(one.value)}")
    return "```text\n" + "\n".join(drawn) + "\n```\n" if drawn else ""
