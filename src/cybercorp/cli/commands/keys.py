"""`cybercorp keys`: which keys encrypt what the server stores, and a new one."""

from __future__ import annotations

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.protocol.keys import DataKey, DataKeyState

app = noun("Show the keys that encrypt what is stored; rotate them.")

_MEANING = {
    DataKeyState.COMING: "encrypts within seconds",
    DataKeyState.CURRENT: "encrypts",
    DataKeyState.OLD: "is being replaced",
    DataKeyState.RETIRED: "destroyed",
}

COLUMNS: tuple[Column[DataKey], ...] = (
    Column(key="id", title="KEY", value=lambda key: key.id, right=True),
    Column(
        key="state",
        value=lambda key: str(key.state),
        text=lambda key: f"{key.state} ({_MEANING[key.state]})",
        style=lambda key: "bold" if key.state is DataKeyState.CURRENT else "",
    ),
    Column(
        key="created_at",
        title="SINCE",
        value=lambda key: iso_time(key.created_at_ms),
        text=lambda key: local_time(key.created_at_ms),
    ),
    Column(
        key="retired_at",
        title="RETIRED",
        value=lambda key: iso_time(key.retired_at_ms) if key.retired_at_ms is not None else None,
        text=lambda key: local_time(key.retired_at_ms) if key.retired_at_ms is not None else "",
        rank=1,
    ),
)


@app.command("status")
def show_status(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show the data keys, and how far a rotation is."""
    options = options_of(context)
    with options.client() as client:
        found = client.keys.status()
    write_rows(found.keys, COLUMNS, output, options, empty="There is no key.")
    say(f"They are wrapped by the key-encryption key {found.key_encryption_key}.")
    if found.chunks_waiting:
        say(f"{found.chunks_waiting} stretches of process history are still to be looked at.")


@app.command("rotate")
def rotate(context: typer.Context) -> None:
    """Make a new data key. Everything is encrypted with it in the background, then the old one is destroyed."""
    with options_of(context).client() as client:
        found = client.keys.rotate()
    tell(f"Key {found.keys[-1].id} encrypts within seconds; older ones go when nothing needs them.")
    say("See how far it is: cybercorp keys status")
