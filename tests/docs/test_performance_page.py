"""docs/performance.md says what was measured, and nothing else."""

from pathlib import Path

from benchmarks import pages
from benchmarks.__main__ import GROUPS, TITLES

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"storage_size"}  # measured as a part of peer_storage


def test_the_page_is_what_the_benchmarks_wrote() -> None:
    """Nobody edits a figure by hand: `python -m benchmarks page` writes the page that is there."""
    assert pages.PAGE.read_text(encoding="utf-8") == pages.page_text(TITLES)


def test_every_benchmark_has_its_section() -> None:
    """A new one with a `measure` is run by a group and has a title."""
    found = {
        path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef measure(" in path.read_text(encoding="utf-8")
    }
    assert found - PARTS == set(TITLES)
    assert set().union(*GROUPS.values()) == set(TITLES)
