"""docs/asvs.md has every line of the standard, and every test that it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
LINES = (ROOT / "tests" / "fixtures" / "asvs-5.0.txt").read_text(encoding="utf-8").split("\n", 1)[1].split()
ROWS = [
    ([one.strip() for one in lines.split(",")], proof)
    for lines, proof in re.findall(r"^\| (V\d[^|]*) \|[^|]*\| ([^|]*) \|$", PAGE, re.MULTILINE)
]


def test_every_line_is_there_once() -> None:
    """All 253 of Levels 1 and 2, and nothing else."""
    named = [line for lines, _ in ROWS for line in lines]
    assert len(LINES) == 253
    assert sorted(named) == sorted(LINES)


@pytest.mark.parametrize(("lines", "proof"), ROWS, ids=lambda one: one[0] if isinstance(one, list) else "")
def test_what_it_names_exists(lines: list[str], proof: str) -> None:
    """A line has a test that is there, a reason, or says what is open."""
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", proof)
    assert tests or proof.startswith(("reason: ", "open: ")), f"{lines}: {proof}"
    for path, name in tests:
        source = (ROOT / path).read_text(encoding="utf-8")
        found = {
            one.name for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert not name or name in found, f"{lines}: {path} has no {name}"


@pytest.mark.parametrize("page", ["security", "audit", "encryption", "limits", "machines", "roles", "tls"])
def test_the_pages_it_rests_on_are_there(page: str) -> None:
    """What a line says is documented has a page."""
    assert (ROOT / "docs" / f"{page}.md").stat().st_size > 1_000
