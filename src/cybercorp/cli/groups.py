"""Two kinds of groups: one that imports a command when it is called, and one whose bare noun lists."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import typer
from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter


class Entry(msgspec.Struct, frozen=True):
    """One command of the top level: the section of the help it stands in, what it is for, its module."""

    section: str
    summary: str
    module: str


class LazyGroup(TyperGroup):
    """The top level. Its help needs the table alone; a command's module is imported when that command is named."""

    entries: ClassVar[dict[str, Entry]] = {}
    examples: ClassVar[tuple[str, ...]] = ()

    def list_commands(self, ctx: Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        known = self.commands.get(cmd_name)
        entry = self.entries.get(cmd_name)
        if known is None and entry is not None:
            known = get_command(importlib.import_module(entry.module).app)
            known.name = cmd_name
            self.commands[cmd_name] = known
        return known

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            close = difflib.get_close_matches(name, self.entries, n=1)
            ctx.fail(f"There is no command '{name}'." + (f" Did you mean '{close[0]}'?" if close else ""))
        return (name if command else None), command, args[1:]

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            sections.setdefault(entry.section, []).append((name, entry.summary))
        widest = max(map(len, self.entries))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), summary) for name, summary in rows])
        records = [record for one in self.get_params(ctx) if (record := one.get_help_record(ctx))]
        with formatter.section("Options, before or after the command"):
            formatter.write_dl(records)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write_text(example)


class NounGroup(TyperGroup):
    """A noun with verbs. Without a verb it does its first one: `cybercorp hosts` is `cybercorp hosts list`."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        completing = ctx.resilient_parsing and not args
        if first not in self.commands and first not in ctx.help_option_names and not completing:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def noun(summary: str, **settings: Any) -> typer.Typer:
    """The Typer app of a noun with verbs."""
    made = typer.Typer(
        cls=NounGroup,
        rich_markup_mode=None,
        add_completion=False,
        help=summary,
        context_settings=CONTEXT_SETTINGS,
        **settings,
    )

    @made.callback()
    def _noun() -> None:
        pass

    return made


def single(summary: str) -> typer.Typer:
    """The Typer app of a command without verbs."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, help=summary, context_settings=CONTEXT_SETTINGS)


CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
