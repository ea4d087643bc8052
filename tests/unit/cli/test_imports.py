"""Short commands stay short: what they must not load, they do not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"litestar", "uvicorn", "textual", "sqlalchemy", "psutil", "numpy", "httpx", "websockets", "rich", "asyncio"}


def loaded(*arguments: str) -> set[str]:
    """Top-level modules that a command line loads, in a fresh interpreter."""
    code = (
        "import sys; from cybercorp.__main__ import main; sys.argv = ['cybercorp', *sys.argv[1:]]; code = main(); "
        "sys.stderr.write('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules})); sys.exit(code)"
    )
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    return set(answer.stderr.rpartition("\n")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("hosts", "--help"), ("metrics", "query", "--help"), ("up", "--help"), ("completion", "bash"), ()],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Help and completion load neither a web framework, a database, a network library nor Rich."""
    modules = loaded(*arguments)
    assert "typer" in modules
    assert modules & HEAVY == set()


def test_version_loads_not_even_typer() -> None:
    """`cybercorp --version` answers with the standard library alone."""
    modules = loaded("--version")
    assert "cybercorp" in modules
    assert modules & {*HEAVY, "typer", "msgspec", "platformdirs"} == set()


def test_a_command_on_a_pipe_does_not_load_rich() -> None:
    """Rich draws on terminals; a script does not wait for it. Neither is the server or the dashboard loaded."""
    modules = loaded("hosts", "--url", "http://127.0.0.1:9")
    assert "httpx" in modules
    assert modules & (HEAVY - {"httpx", "asyncio"}) == set()
