"""`cybercorp server backup`, `restore` and `migrate`: what a server knows, as a file, and into another database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.options import options_of
from cybercorp.cli.output.progress import progress_bar
from cybercorp.cli.output.writers import remark, say, tell
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError, StorageCorruptError
from cybercorp.core.units import format_bytes
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.cli.launch.backups import Place

ToDatabase = Annotated[
    str | None,
    typer.Option("--to-database", metavar="URL", help="A PostgreSQL database; a password is better in PGPASSWORD."),
]
_MOST_PROBLEMS = 20


def register_backups(app: typer.Typer) -> None:
    """Add the commands to `cybercorp server`."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("migrate")(migrate)


def backup(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it holds secrets (0600).")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="Let the passphrase in this file open it, too."),
    ] = None,
) -> None:
    """Save everything that this machine's server knows as one file. It may run meanwhile."""
    options = options_of(context)
    from cybercorp.cli.launch import backups

    target, place = path.expanduser(), backups.place_of(options.data_dir)
    remark(f"Saving {safe_text(str(place))} …")
    with progress_bar("Saving", unit="rows") as progress:
        manifest = backups.back_up(place, target, progress, replace=force, passphrase_file=passphrase_file)
    for damage in manifest.contents.damage[:_MOST_PROBLEMS]:
        say(safe_text(damage, 500))
    size = format_bytes(target.stat().st_size)
    tell(f"{safe_text(str(target), 300)}: {backups.numbers_of(manifest.contents)}, {size}, read again and in order")
    from cybercorp.cli.launch.backup_keys import key_needed

    say(safe_text(key_needed(options.data_dir, passphrase=passphrase_file is not None), 500))
    remark(f"Restore it with: cybercorp server restore {safe_text(str(target), 300)}")


def restore(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `cybercorp server backup` wrote.")],
    to_database: ToDatabase = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="KEY", help="The key that the backup opens with.")
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="The passphrase that the backup was made with."),
    ] = None,
) -> None:
    """Bring a backup to an empty data folder or database, of either kind, and check it. Nothing is overwritten."""
    options = options_of(context)
    from cybercorp.cli.launch import backups

    place = backups.place_of(options.data_dir, to_database)
    began = SystemClock().monotonic()
    with progress_bar("Verifying", unit="bytes") as verifying, progress_bar("Restoring", unit="rows") as restoring:
        manifest, problems = backups.restore(path.expanduser(), place, verifying, restoring, key_file, passphrase_file)
    _report(problems, place)
    took = SystemClock().monotonic() - began
    what = backups.numbers_of(manifest.contents)
    tell(f"Restored {what} to {safe_text(str(place))}, every chunk verified ({took:.1f} s).")
    if to_database:
        _name_it(place)


def migrate(
    context: typer.Context,
    to: Annotated[
        str | None, typer.Option("--to", metavar="REVISION", help="Go to this one; base is no table.")
    ] = None,
    down: Annotated[bool, typer.Option("--down", help="Go one revision down.")] = False,
    to_database: ToDatabase = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before going down.")] = False,
) -> None:
    """Bring the tables to this version's schema, or up or down to another; or move all data to PostgreSQL.

    The server must be stopped, but for a move: then what comes in after its moment is not copied.
    """
    options = options_of(context)
    if sum([to is not None, down, to_database is not None]) > 1:
        raise InvalidInputError("--to, --down and --to-database exclude each other.", hint="Give one of them.")
    from cybercorp.cli.launch import backups

    place = backups.place_of(options.data_dir)
    if to_database is not None:
        _move(place, backups.place_of(options.data_dir, to_database), dry_run=dry_run)
        return
    at = backups.schema_of(place)
    order = backups.revisions_of(at)
    here = at.found or "base"
    goal = to or (order[max(0, order.index(here) - 1)] if down else order[-1])
    goal = order[-1] if goal == "head" else goal
    if goal not in order:
        raise InvalidInputError(
            f"There is no revision '{safe_text(goal, 40)}'.", hint=f"There are: {', '.join(order)}."
        )
    say(f"{safe_text(str(place))}: records at {here}, newest {order[-1]}")
    for line in backups.steps_of(at, goal):
        say(line)
    if dry_run:
        return
    if order.index(goal) < order.index(here) and not yes:
        _confirm(place, goal)
    found = backups.migrate(place, "head" if goal == order[-1] else goal)
    tell(f"Records are at {found.found or 'base'}." + (" Samples are at this version's schema." if found.found else ""))


def _move(place: Place, goal: Place, *, dry_run: bool) -> None:
    from cybercorp.cli.launch import backups

    say(f"Copy everything from {safe_text(str(place))} to {safe_text(str(goal))}, and verify it there.")
    if dry_run:
        return
    with progress_bar("Copying", unit="rows") as progress:
        contents, problems = backups.move(place, goal, progress)
    _report(problems, goal)
    tell(f"Copied {backups.numbers_of(contents)}; every chunk verified.")
    _name_it(goal)


def _confirm(place: Place, goal: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInputError("Going down loses what older tables cannot hold.", hint="Add --yes to do it.")
    question = f"Going down to {goal} loses what older tables cannot hold. Change {safe_text(str(place))}?"
    if not typer.confirm(question, err=True):
        raise typer.Abort


def _report(problems: list[str], place: Place) -> None:
    for problem in problems[:_MOST_PROBLEMS]:
        say(safe_text(problem, 500))
    if problems:
        raise StorageCorruptError(
            f"Everything was brought to {safe_text(str(place))}, and {len(problems)} things in it are damaged.",
            hint="They were damaged before; queries leave holes there.",
        )


def _name_it(place: Place) -> None:
    say(f'Let the server use it: database_url = "{safe_text(str(place))}" in server.toml')
