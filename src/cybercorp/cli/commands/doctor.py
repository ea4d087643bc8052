"""`cybercorp doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import sys
import textwrap

import typer

from cybercorp.cli.failures import FAILED
from cybercorp.cli.findings import Finding, Verdict
from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of, wants_color
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat, on_terminal, shows_unicode, terminal_size
from cybercorp.cli.output.writers import write_rows
from cybercorp.cli.parameters import Output
from cybercorp.security.display import safe_text

app = single("Check that everything is in order, and say what to do where it is not.")

_SYMBOLS = {Verdict.OK: "✔", Verdict.WARNING: "▲", Verdict.FAILING: "✖"}
_PLAIN_SYMBOLS = {Verdict.OK: "ok", Verdict.WARNING: "!!", Verdict.FAILING: "XX"}
_COLORS = {Verdict.OK: "32", Verdict.WARNING: "33", Verdict.FAILING: "31"}
_NAME_WIDTH = 10
_LONGEST = 400

COLUMNS: tuple[Column[Finding], ...] = (
    Column(key="check", value=lambda finding: finding.check),
    Column(key="verdict", value=lambda finding: str(finding.verdict)),
    Column(key="found", value=lambda finding: finding.found),
    Column(key="hint", value=lambda finding: finding.hint or None),
)


@app.command()
def doctor(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Check Python, terminal, data folder, databases, key, server, agents, clock and ports."""
    options = options_of(context)
    from cybercorp.cli.launch.examination import examine

    findings = []
    for finding in examine(options):
        findings.append(finding)
        if output is OutputFormat.TABLE:
            _print(finding, color=on_terminal() and wants_color(options))
    if output is not OutputFormat.TABLE:
        write_rows(findings, COLUMNS, output, options)
    if any(finding.verdict is Verdict.FAILING for finding in findings):
        raise typer.Exit(FAILED)


def _print(finding: Finding, *, color: bool) -> None:
    symbol = (_SYMBOLS if shows_unicode() else _PLAIN_SYMBOLS)[finding.verdict]
    if color:
        symbol = f"\x1b[{_COLORS[finding.verdict]}m{symbol}\x1b[0m"
    first, *others = _lines(finding.found) + (_lines(finding.hint) if finding.hint else [])
    sys.stdout.write(f"{symbol} {finding.check.ljust(_NAME_WIDTH)} {first}\n")
    for line in others:
        sys.stdout.write(f"  {' ' * _NAME_WIDTH} {line}\n")
    sys.stdout.flush()


def _lines(text: str) -> list[str]:
    safe = safe_text(text, _LONGEST)
    if not on_terminal():
        return [safe]
    return textwrap.wrap(safe, max(terminal_size()[0] - _NAME_WIDTH - 4, 20), break_on_hyphens=False) or [""]
