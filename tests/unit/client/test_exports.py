"""What `cybercorp` exports, and what importing it costs."""

import subprocess
import sys

import pytest

import cybercorp

_HEAVY = ("httpx", "websockets", "msgspec", "asyncio", "litestar", "textual", "sqlalchemy", "numpy", "psutil", "typer")


def _loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_exported_names_are_these() -> None:
    """A name that appears or goes is a decision, not an accident."""
    assert sorted(cybercorp.__all__) == [
        "AsyncClient",
        "Client",
        "ConnectionState",
        "CyberCorpError",
        "LiveConnection",
        "QueryResult",
        "__version__",
    ]
    for name in cybercorp.__all__:
        assert getattr(cybercorp, name) is not None
    assert set(cybercorp.__all__) <= set(dir(cybercorp))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package behaves like any other."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cybercorp.nonsense


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import cybercorp` costs a program that never uses it next to nothing."""
    assert not _loaded_after("import cybercorp") & set(_HEAVY)


def test_a_blocking_call_loads_no_event_loop() -> None:
    """`from cybercorp import Client` needs httpx, and neither asyncio nor websockets nor httpx's command line."""
    loaded = _loaded_after("from cybercorp import Client; Client('http://127.0.0.1:1', token='t').close()")
    assert "httpx" in loaded
    assert not loaded & {"asyncio", "websockets", "rich", "click", "numpy"}


def test_a_running_agent_loads_neither_http_client_nor_numbers() -> None:
    """The agent stays small: no httpx, numpy, textual, litestar, sqlalchemy, rich, asyncio."""
    loaded = _loaded_after("import cybercorp.agent.main")
    assert not loaded & {"httpx", "numpy", "textual", "litestar", "sqlalchemy", "rich", "asyncio", "typer"}
