"""The README on a clean machine: a fresh checkout, its first command, the dashboard; then the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.stack import free_port, user_environment, wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git tracks, without anything that was built or installed here."""
    folder = tmp_path_factory.mktemp("fresh") / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def users_environment(checkout: Path) -> dict[str, str]:
    environment = user_environment(checkout.parent)
    return {key: value for key, value in environment.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}


def left_running(checkout: Path) -> list[str]:
    """Command lines of processes that still run from this checkout's environment."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(checkout) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_command_of_the_readme_opens_the_dashboard_with_live_numbers(checkout: Path) -> None:
    """From a fresh checkout: live numbers; `q` leaves nothing running; the second start is quick."""
    python = shutil.which("python3") or sys.executable
    command = [python, "bootstrap.py", "up"]
    environment = {**users_environment(checkout), "CYBERCORP_SERVER_PORT": str(free_port())}
    for limit_s, again in ((500, False), (10, True)):
        with Terminal(command, environment, columns=120, lines=40, folder=checkout) as terminal:
            began = time.monotonic()
            terminal.wait_for("LIVE", limit_s)
            terminal.wait_for(lambda text: re.search(r"\d+(\.\d+)? ?%", text) is not None, 10 if again else limit_s)
            elapsed = time.monotonic() - began
            terminal.press("q")
            assert terminal.process.wait(15) == 0
        assert not again or elapsed < 10
        wait_until(lambda: not left_running(checkout), f"everything stopped, but: {left_running(checkout)}", 10)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_runs_like_the_checkout(checkout: Path, tmp_path: Path) -> None:
    """What `pip install` would bring (migrations and all data files included) starts and shows this machine."""
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        pytest.fail("the environment of the first test is missing; run both")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(tmp_path), "."], cwd=checkout, check=True)
    [wheel] = tmp_path.glob("cybercorp-*.whl")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--force-reinstall", str(wheel)], check=True)
    environment, port = user_environment(tmp_path), free_port()
    command = [str(checkout / ".venv" / "bin" / "cybercorp")]
    started = subprocess.Popen(
        [*command, "up", "--headless", "--port", str(port)], env=environment, cwd=tmp_path, stderr=subprocess.PIPE
    )
    try:
        shown = [*command, "hosts", "-o", "csv"]

        def has_numbers() -> bool:
            answer = subprocess.run(shown, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
            return re.search(r",online,.*\d", answer.stdout) is not None

        wait_until(has_numbers, "the wheel's first numbers", 15)
    finally:
        started.terminate()
        assert started.wait(15) == 0
        assert started.stderr is not None
        started.stderr.close()
