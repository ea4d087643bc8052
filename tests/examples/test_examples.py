"""Every example runs against a real server and prints what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import Stack, wait_until

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
PROMISES = {"busiest_hosts": "cpu", "who_did_this": "CPU peak", "watch_events": "1 online"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_keeps_its_promise(stack: Stack, example: Path) -> None:
    """It ends with 0, without a warning, and prints the numbers it is there for."""
    extra = ["4"] if example.stem == "watch_events" else []

    def attempt() -> str:
        answer = subprocess.run(
            [sys.executable, "-W", "error", str(example), *extra],
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        # The first recorded processes come ten seconds after the agent's start.
        assert answer.returncode == 0 or "recorded" in answer.stderr or "processes" in answer.stderr, answer.stderr
        return answer.stdout

    wait_until(lambda: PROMISES[example.stem] in attempt(), f"{example.name} prints {PROMISES[example.stem]!r}", 40)


def test_there_are_three_examples_and_the_page_names_them() -> None:
    """A new example gets a row and a promise."""
    page = (EXAMPLES[0].parent / "README.md").read_text(encoding="utf-8")
    assert len(EXAMPLES) >= 3
    for example in EXAMPLES:
        assert example.name in page
        assert example.stem in PROMISES
