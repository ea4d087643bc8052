"""The examples in the library's docstrings are code: they compile and use names that exist."""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from types import ModuleType

import cybercorp.client
from cybercorp import AsyncClient


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(cybercorp.client.__path__, "cybercorp.client."):
        yield importlib.import_module(found.name)


def _docstrings() -> Iterator[str]:
    for module in _modules():
        yield module.__doc__ or ""
        for one in vars(module).values():
            if inspect.isclass(one) and one.__module__ == module.__name__:
                yield inspect.getdoc(one) or ""
                yield from (inspect.getdoc(method) or "" for method in vars(one).values() if inspect.isfunction(method))


def _examples() -> list[str]:
    """The indented blocks after a blank line."""
    found = []
    for text in _docstrings():
        lines = text.splitlines()
        block: list[str] = []
        for line in [*lines, "end"]:
            if line.startswith("    "):
                block.append(line)
            elif line.strip() and block:
                found.append(textwrap.dedent("\n".join(block)))
                block = []
    return [one for one in found if any(word in one for word in ("client.", "fleet.", "await ", "proxy."))]


def test_every_example_compiles_and_names_what_exists() -> None:
    """`client.hosts.list(…)` in a docstring is a noun and a method of the client."""
    client = AsyncClient("http://localhost:1", token="t")
    examples = _examples()
    assert len(examples) >= 8
    for text in examples:
        body = text + ("\n    pass" if text.rstrip().endswith(":") else "")
        tree = ast.parse(f"async def example():\n{textwrap.indent(body, '    ')}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                owner = node.value.value
                if isinstance(owner, ast.Name) and owner.id in ("client", "fleet"):
                    assert hasattr(getattr(client, node.value.attr), node.attr), text
