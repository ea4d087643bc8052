"""docs/architecture.md says what the tree is."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = {path.parent.name for path in (ROOT / "src" / "cybercorp").glob("*/__init__.py")}


def test_the_package_table_names_every_package_and_no_other() -> None:
    """A new folder needs a row with its purpose; a row whose folder is gone is removed."""
    assert set(re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)) == PACKAGES


def test_every_package_stands_in_the_import_contract() -> None:
    """No package escapes the checked import directions."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " ".join(contracts[0]["layers"])
    assert set(re.findall(r"cybercorp\.(\w+)", layers)) == PACKAGES


def test_links_in_the_documentation_lead_somewhere() -> None:
    """Every relative link of the pages and of README points to a file or folder that exists."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)} → {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_decisions_are_short_and_numbered() -> None:
    """A decision is a page under 60 lines with a number of its own."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert all(len(page.read_text(encoding="utf-8").splitlines()) < 60 for page in pages)
