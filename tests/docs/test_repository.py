"""What is committed is fit for strangers: locked, hashed, free of addresses of registries, licensed."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_have_hashes_and_no_addresses(name: str) -> None:
    """Every requirement is pinned with a hash, and nothing names where it was downloaded."""
    text = (ROOT / name).read_text()
    pinned = re.findall(r"^([a-z0-9][\w.\[\]-]*)==", text, re.MULTILINE | re.IGNORECASE)
    assert len(pinned) > 30
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE | re.IGNORECASE)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert "://" not in text
    assert "index-url" not in text


def test_the_runtime_lock_pins_what_the_development_lock_pins() -> None:
    """Tests run with the versions that users get."""

    def pins(name: str) -> dict[str, str]:
        rows = re.findall(r"^([\w.\[\]-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
        return {f"{package}": version for package, version in rows}

    runtime, development = pins(LOCKS[0]), pins(LOCKS[1])
    assert {package: development.get(package) for package in runtime} == runtime


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_the_pages_a_stranger_looks_for_exist(name: str) -> None:
    """Licence, contributing, security policy and changelog are there and not empty."""
    assert (ROOT / name).stat().st_size > 100


def test_continuous_integration_runs_the_second_command_of_the_readme() -> None:
    """README, `.ci/run` and Makefile call the same thing."""
    second = "python3 bootstrap.py check"
    assert second in (ROOT / "README.md").read_text(encoding="utf-8")
    assert second in (ROOT / ".ci" / "run").read_text()


def test_bootstrap_says_what_it_can_do_without_any_installation(tmp_path: Path) -> None:
    """`bootstrap.py --help` needs nothing installed; an unknown task is refused with exit code 2."""
    isolated = ["python3", "-I", str(ROOT / "bootstrap.py")]
    shown = subprocess.run([*isolated, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "bootstrap.py up" in shown.stdout
    refused = subprocess.run([*isolated, "fly"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 2
    assert "no task 'fly'" in refused.stderr
