"""`cybercorp bench` against real servers: it counts right, cleans up, and says when something is lost."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.stack import COMMAND, Stack, user_environment


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run."""
    return subprocess.run(
        [*COMMAND, "bench", *arguments],
        env=user_environment(folder),
        capture_output=True,
        text=True,
        timeout=90,
        cwd=folder,
    )


@pytest.mark.slow
def test_a_server_of_its_own(tmp_path: Path) -> None:
    """Every row is acknowledged and stored; process, folder and figures are there, and gone afterwards."""
    work = tmp_path / "work"
    arguments = ("--agents", "20", "--viewers", "2", "--seconds", "3", "--no-settle", "--data-dir", str(work))
    done = bench(tmp_path, *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows_sent"] == found["rows_acknowledged"] == found["rows_stored"] > 40
    assert found["rows_refused"] == 0
    assert found["failures"] == []
    assert 0 < found["ack_p50_ms"] <= found["ack_p99_ms"] <= found["ack_max_ms"]
    assert found["updates_delivered"] > 0
    assert found["windows_delivered"] > 0
    assert found["delivery_p99_ms"] > 0
    assert found["server_cpu_s"] > 0
    assert found["server_rss_bytes"] > 10_000_000
    assert list(work.iterdir()) == []


def test_a_running_server_is_left_as_it_was(stack: Stack, tmp_path: Path) -> None:
    """Hosts join, are removed again, and the figures that cannot be known are unknown."""
    token = tmp_path / "token"
    token.write_text(stack.token)
    before = [one["name"] for one in stack.get("/api/v1/hosts")]  # type: ignore[attr-defined]
    chosen = ("--url", stack.url, "--token-file", str(token))
    done = bench(tmp_path, "--agents", "5", "--seconds", "1", "--speed", "max", "--no-settle", "-o", "json", *chosen)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["server_cpu_s"] is None
    assert found["rows_acknowledged"] == found["rows_sent"] > 5
    assert [one["name"] for one in stack.get("/api/v1/hosts")] == before  # type: ignore[attr-defined]


def test_another_machine_is_not_loaded_by_mistake(tmp_path: Path) -> None:
    """It needs to be said."""
    token = tmp_path / "token"
    token.write_text("cco_x")
    done = bench(tmp_path, "--url", "http://192.0.2.1:8765", "--token-file", str(token))
    assert done.returncode == 2
    assert "another machine" in done.stderr
    assert "--foreign" in done.stderr


@pytest.mark.slow
def test_two_agents_at_full_speed(tmp_path: Path) -> None:
    """No limit of the server is met by the load that we ship: all is acknowledged."""
    arguments = ("--agents", "2", "--speed", "max", "--rows", "3000", "--window", "64", "--no-settle")
    done = bench(tmp_path, *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["rows_sent"] == found["rows_acknowledged"] > 3000
