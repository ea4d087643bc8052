"""`cybercorp completion`: the completion script of a shell, on stdout."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from cybercorp.cli.groups import single

app = single("Print the completion script of a shell.")


class Shell(StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell.")],
) -> None:
    """Print the completion script of a shell: source <(cybercorp completion bash)"""
    script = get_completion_script(prog_name="cybercorp", complete_var="_CYBERCORP_COMPLETE", shell=str(shell))
    sys.stdout.write(script + "\n")
