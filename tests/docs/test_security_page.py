"""docs/security.md: every attack of the list has tests that exist, or says why there is nothing to attack."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cybercorp.protocol.registry import MESSAGES, Direction

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKS = """
agent impersonation and clones · stolen enrolment token · compromised server or Redis ordering actions
unauthenticated internal message · terminal escapes in every host-supplied string · scope escape by id
cross-site WebSocket · token in a URL or log · JWT confusion · refresh replay and races · TOTP replay across instances
stuffing with spoofed proxy headers · user enumeration by time · audit edits, truncation, restamping · hostile plugin
SSRF by webhook · oversize frames, deflate bombs · slow-loris · slow consumer · series-cardinality bomb · CSV formulas
PID reuse · path traversal and zip slip · log injection · DNS rebinding and Host spoofing · secrets returned by the API
replayed, late, reordered, wrong-host commands · local privilege escalation through the agent
"""
NAMES = [one.strip() for line in ATTACKS.strip().splitlines() for one in line.split("·")]
ROWS = {
    name.strip(): (tests, result)
    for name, tests, result in re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.partition("## Attacks")[2].partition("\n## ")[0], re.MULTILINE
    )
}


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_has_its_tests(name: str) -> None:
    """They are there under these names; without any it is said why there is nothing to attack."""
    tests, result = ROWS[name]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tests)
    assert named or result.startswith("no such surface yet: "), name
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        found = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not function or function in found, f"{path} has no {function}"


def test_nothing_else_is_in_the_table() -> None:
    """But its head."""
    assert ROWS.keys() - set(NAMES) == {"attack"}


def test_a_server_orders_nothing() -> None:
    """What a server can tell an agent: who it must be, what is stored or not, what somebody looks at, what is wrong.

    Whoever adds something that makes an agent act has to add the attacks on it as well.
    """
    told = {kind for kind, one in MESSAGES.items() if one.direction is Direction.SERVER_TO_AGENT}
    assert told == {"agent.challenge", "agent.welcome", "agent.acknowledge", "agent.refuse", "agent.watch"}
