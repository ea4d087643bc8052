"""`cybercorp audit`: who did what; whether nobody has changed it since; a copy to keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.failures import FAILED
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, tell, write_object, write_rows
from cybercorp.cli.parameters import Limit, Output, past_ms
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.units import UNKNOWN, format_bytes
from cybercorp.protocol.audit import AuditKey, AuditRecord, AuditVerification, Decision, Outcome
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

app = noun("List who did what, verify that nobody changed it, keep a copy.")

_PAGE = 500
_USUAL_LIMIT = 50
_VERIFY_S = 600.0


def _result(record: AuditRecord) -> str:
    return str(record.decision) if record.decision is Decision.REFUSED else str(record.outcome)


def _style(record: AuditRecord) -> str:
    if record.decision is Decision.REFUSED or record.outcome is Outcome.FAILED:
        return "yellow"
    return "bold red" if record.outcome is Outcome.UNKNOWN else ""


def _actor(record: AuditRecord) -> str:
    return record.actor or record.actor_id


COLUMNS: tuple[Column[AuditRecord], ...] = (
    Column(key="time", value=lambda one: iso_time(one.time_ms), text=lambda one: local_time(one.time_ms), width=19),
    Column(key="actor", value=_actor, text=lambda one: _actor(one) or "nobody", width=16),
    Column(key="network", value=lambda one: one.network, rank=3),
    Column(key="operation", value=lambda one: one.operation, width=20),
    Column(key="target", value=lambda one: one.target or one.target_id, flexible=True),
    Column(key="result", value=_result, style=_style, width=9),
    Column(key="detail", value=lambda one: one.detail, rank=4, flexible=True),
    Column(key="id", value=lambda one: one.id, right=True, rank=1),
    Column(key="actor_kind", value=lambda one: one.actor_kind, detail=True),
    Column(key="actor_id", value=lambda one: one.actor_id, detail=True),
    Column(key="session_id", value=lambda one: one.session_id, detail=True),
    Column(key="target_kind", value=lambda one: one.target_kind, detail=True),
    Column(key="target_id", value=lambda one: one.target_id, detail=True),
    Column(key="decision", value=lambda one: str(one.decision), detail=True),
    Column(key="outcome", value=lambda one: str(one.outcome), detail=True),
    Column(key="intent", value=lambda one: one.intent, detail=True),
    Column(key="previous", value=lambda one: one.previous, detail=True),
    Column(key="hash", value=lambda one: one.hash, detail=True),
)
_KEY_COLUMNS: tuple[Column[AuditKey], ...] = (
    Column(key="id", value=lambda one: one.id),
    Column(
        key="created", value=lambda one: iso_time(one.created_at_ms), text=lambda one: local_time(one.created_at_ms)
    ),
    Column(key="public_key", value=lambda one: one.public_key, flexible=True),
)


@app.command("list")
def list_records(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="15m, '3h ago', yesterday.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="The end of the span.")] = None,
    operations: Annotated[
        list[str] | None, typer.Option("--operation", metavar="NAME", help="user.create, login.* …; repeatable.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this user, by name or id, did.")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what was done to this, by name or id.")
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Limit = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List records, oldest first: the last 50, or all of a span of time."""
    options = options_of(context)
    since_ms = past_ms(since, "--since") if since else None
    until_ms = past_ms(until, "--until") if until else None
    most = limit or (None if since_ms is not None else _USUAL_LIMIT)
    with options.client() as client:
        found: list[AuditRecord] = []
        while most is None or len(found) < most:
            wanted = _PAGE if most is None else min(_PAGE, most - len(found))
            page = client.audit.list(
                before=found[0].id if found else None,
                since_ms=since_ms,
                until_ms=until_ms,
                operations=operations or (),
                actor=actor,
                target=target,
                decision=Decision.REFUSED if refused else None,
                limit=wanted,
                newest=True,
            )
            found[:0] = page.records
            if len(page.records) < wanted:
                break
    write_rows(found, COLUMNS, output, options, empty="No record matches.")


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export or a second copy, checked without a server.")
    ] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="COUNT:HEAD", help="What an earlier check said; it must be there.")
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="HEX", help="A public key that may have signed; repeatable.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Check every record, signature and copy. Exits with 1 and names the first bad record where something is wrong."""
    noted = _anchor(anchor) if anchor else None
    if file is None:
        if keys:
            raise InvalidInputError("--key is for files.", hint="The server knows its own keys.")
        with options_of(context).client(timeout_s=_VERIFY_S) as client:
            result = _ask(client, noted)
        vouched = True
    else:
        from cybercorp.security.audit_files import verify_file

        result, vouched = verify_file(file, keys=keys or (), anchor=noted)
    if output is not OutputFormat.TABLE:
        write_object(_as_object(result), output)
    else:
        _tell(result, vouched=vouched)
    if result.finding is not None:
        raise typer.Exit(FAILED)


@app.command()
def export(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make, JSON lines.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Save keys, checkpoints and all records as one file, which `audit verify FILE` checks anywhere."""
    with options_of(context).client(timeout_s=_VERIFY_S) as client:
        size = client.audit.save(path, replace=force)
    tell(f"Saved {safe_text(str(path))}, {format_bytes(size)}. Check it with: cybercorp audit verify FILE --key …")


@app.command("keys")
def list_keys(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List the public keys that sign the trail. Keep them elsewhere: with them a file is checked."""
    options = options_of(context)
    with options.client() as client:
        found = client.audit.list_keys()
    write_rows(found, _KEY_COLUMNS, output, options, empty="Nothing has been signed yet.")


def _ask(client: Client, anchor: tuple[int, str] | None) -> AuditVerification:
    return client.audit.verify() if anchor is None else client.audit.verify(count=anchor[0], head=anchor[1])


def _anchor(text: str) -> tuple[int, str]:
    count, _, head = text.partition(":")
    if not count.isascii() or not count.isdigit() or len(count) > 18 or len(head) != 64:
        raise InvalidInputError("An anchor is COUNT:HEAD.", hint="`cybercorp audit verify` prints it.")
    return int(count), head.lower()


def _as_object(result: AuditVerification) -> dict[str, object]:
    finding = result.finding
    return {
        "sound": finding is None,
        "records": result.records,
        "checkpoints": result.checkpoints,
        "head": result.head,
        "record": finding.record if finding else None,
        "reason": finding.reason if finding else None,
    }


def _tell(result: AuditVerification, *, vouched: bool) -> None:
    if result.finding is not None:
        tell(safe_text(result.finding.reason, 400))
        say("Find out who could write to the database. What is before that record is as it was.")
        return
    if result.first > 1:
        say(f"The file begins with record {result.first}; what was before it is not in it.")
    tell(f"{result.records - result.first + 1} records and {result.checkpoints} checkpoints are as they were written.")
    tell(f"anchor {result.records}:{result.head}" if result.records else UNKNOWN)
    if not vouched:
        say("The keys came from the file itself: give the server's with --key to rule out a forgery.")
