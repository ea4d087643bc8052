"""What the fleet says in words: its counts, and the placards of its empty, loading and failing states."""

from __future__ import annotations

from cybercorp.protocol.hosts import FleetCounts
from cybercorp.security.display import safe_text
from cybercorp.tui.state.connection import ConnectionModel, Phase
from cybercorp.tui.state.fleet import FleetModel
from cybercorp.tui.state.instant import InstantModel, describe_instant
from cybercorp.tui.state.lines import Line, Run, Tone, line_width

PlacardText = tuple[str, tuple[str, ...], str]


def counts_line(counts: FleetCounts, width: int) -> Line:
    """`42 hosts   ● 38 ok   ✖ 4 down`, without the words where they do not fit; what is none is not said."""
    full = _counts(counts, words=True)
    return full if line_width(full) <= width else _counts(counts, words=False)


def _counts(counts: FleetCounts, *, words: bool) -> Line:
    line: Line = [Run(f"{counts.total:,} host{'' if counts.total == 1 else 's'}", Tone.VALUE)]
    for count, glyph, word, tone in (
        (counts.online, "●", "ok", Tone.GOOD),
        (counts.stale, "◌", "stale", Tone.WARNING),
        (counts.offline, "✖", "down", Tone.ERROR),
    ):
        if count:
            line += [Run("   " if words else "  "), Run(f"{glyph} {count:,}", tone)]
            line += [Run(f" {word}", Tone.MUTED)] if words else []
    return line


def placard_of(
    model: FleetModel, connection: ConnectionModel, instant: InstantModel, *, problem: str = ""
) -> PlacardText | None:
    """What stands in place of the table; None while there are hosts to show."""
    if not model.known:
        return _nothing_yet(connection, instant, problem)
    if model.total:
        return None
    if model.selector:
        words = safe_text(model.selector, 80)
        return f"No host matches {words}", (), "/ changes the filter · esc shows all hosts"
    if instant.at_ms is not None:
        when = describe_instant(instant.at_ms, instant.now_ms())
        return f"◀ No host is recorded at {when}", (), "] goes on · l shows the present"
    return (
        "No host yet",
        ("An agent on each machine sends what it does; it joins with one command.",),
        "c makes the command and copies it",
    )


def _nothing_yet(connection: ConnectionModel, instant: InstantModel, problem: str) -> PlacardText:
    if connection.phase in (Phase.FAILED, Phase.LOST):
        retry = connection.retry_s()
        when = "" if retry is None else "Trying again now…" if retry == 0 else f"Trying again in {retry} s."
        return (
            "✖ The server does not let you in" if connection.is_refused else "✖ The server cannot be reached",
            (connection.reason, connection.hint, when),
            "ctrl+r tries now · q quits",
        )
    if problem:
        return "✖ The past could not be read", (safe_text(problem, 300),), "l shows the present"
    if connection.phase is Phase.CONNECTING:
        return "Connecting…", (), "q quits"
    if instant.at_ms is not None:
        return f"◀ Reading {describe_instant(instant.at_ms, instant.now_ms())}…", (), "l shows the present"
    return "Reading the fleet…", (), "q quits"
