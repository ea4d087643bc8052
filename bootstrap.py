#!/usr/bin/env python3
"""Set up this checkout and run a task, with Python 3.11+ and nothing else.

    python3 bootstrap.py up      install CyberCorp into .venv and run `cybercorp up`
    python3 bootstrap.py check   install what the tests need and run every check (this is what CI calls)
    python3 bootstrap.py TASK    any task of `python3 bootstrap.py --help`

The installation is made from the lock files with hashes; a second run finds it done and starts at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCKS = {"runtime": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
FAULTS = ("tests/faults", "tests/unit/agent", "tests/unit/store")
WORKERS = str(min(os.cpu_count() or 1, 4))

# One row a task: what it is for, whether it needs the development tools, its commands.
TASKS: dict[str, tuple[str, bool, list[list[str]]]] = {
    "up": ("install and run the main job: server, agent and dashboard of this machine", False, [["cybercorp", "up"]]),
    "install": ("install CyberCorp into .venv", False, []),
    "dev": ("install CyberCorp and the development tools into .venv", True, []),
    "format": ("format the code", True, [["ruff", "format", "."], ["ruff", "check", "--fix", "."]]),
    "lint": ("formatting and lint", True, [["ruff", "format", "--check", "."], ["ruff", "check", "."]]),
    "types": ("strict type check of source and tests", True, [["mypy"]]),
    "imports": ("import directions between the packages", True, [["lint-imports"]]),
    "test": ("all tests but the slow proofs", True, [["pytest", "-n", WORKERS, "-m", "not slow"]]),
    "test-slow": ("the slow proofs: kill, cut, fill", True, [["pytest", "-n", WORKERS, "-m", "slow"]]),
    "faults": (
        "every fault as often as docs/reliability.md says: half an hour",
        True,
        [
            ["pytest", "-n", WORKERS, "-m", "not alone", "--faults", "full", *FAULTS],
            ["pytest", "-m", "alone", "--faults", "full", "tests/faults"],
        ],
    ),
    "docs": (
        "generate the reference pages and the dashboard's picture",
        True,
        [["python", "-m", "scripts.generate_reference"], ["python", "-m", "scripts.draw_dashboard"]],
    ),
    "bench": ("every quick benchmark; results for docs/performance.md", True, [["python", "-m", "benchmarks"]]),
    "bench-peers": (
        "ingest, disk and queries beside Prometheus and VictoriaMetrics",
        True,
        [["python", "-m", "benchmarks", "peers-all"]],
    ),
}
CHECK = ("lint", "types", "imports", "test", "test-slow")


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python meets first
        print(
            f"CyberCorp needs Python 3.11 or later; this is {sys.version.split()[0]}. Run: python3.11 bootstrap.py",
            file=sys.stderr,
        )
        return 1
    task = arguments[0] if arguments else "--help"
    if task in ("-h", "--help"):
        print(__doc__)
        for name, (purpose, _, _) in TASKS.items():
            print(f"  {name:11} {purpose}")
        print(f"  {'check':11} {', '.join(CHECK)}")
        return 0
    if task != "check" and task not in TASKS:
        print(f"There is no task '{task}'. Run: python3 bootstrap.py --help", file=sys.stderr)
        return 2
    names = CHECK if task == "check" else (task,)
    install(development=any(TASKS[name][1] for name in names))
    for name in names:
        for index, command in enumerate(TASKS[name][2]):
            extra = arguments[1:] if index == len(TASKS[name][2]) - 1 and task != "check" else []
            print(f"── {name}: {' '.join([*command, *extra])}", file=sys.stderr, flush=True)
            code = run([*command, *extra], replace=task == "up")
            if code:
                print(f"── {name} failed (exit {code})", file=sys.stderr)
                return code
    return 0


def install(*, development: bool) -> None:
    """Bring .venv to what the lock file says; do nothing where it is there already."""
    mode = "dev" if development else "runtime"
    if stamp(mode).exists() and stamp(mode).read_text() == fingerprint(mode):
        return
    if not PYTHON.exists():
        print("── making .venv", file=sys.stderr, flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            raise SystemExit(
                "This Python cannot make virtual environments. On Debian: apt install python3-venv"
            ) from None
    print(f"── installing from {LOCKS[mode].name} (about a minute, once)", file=sys.stderr, flush=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    code = subprocess.run([*pip, "--require-hashes", "-r", str(LOCKS[mode])], cwd=ROOT).returncode
    code = code or subprocess.run([*pip, "--no-deps", "--editable", "."], cwd=ROOT).returncode
    if code:
        raise SystemExit("The installation failed; the lines above say why. It can be run again as it is.")
    for done in ("runtime", mode):  # the development set holds all of the run-time set
        stamp(done).write_text(fingerprint(done))


def stamp(mode: str) -> Path:
    """Where it is noted that this set is installed."""
    return VENV / f".installed-{mode}"


def fingerprint(mode: str) -> str:
    """What the installation was made from: the lock file, the project file, this Python, this folder."""
    parts = (LOCKS[mode].read_bytes(), (ROOT / "pyproject.toml").read_bytes(), f"{sys.version}{ROOT}".encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def run(command: list[str], *, replace: bool) -> int:
    """Run a command of .venv; the main job takes this process over, so that signals reach it directly."""
    program = shutil.which(command[0], path=str(BIN)) or command[0]
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}", "VIRTUAL_ENV": str(VENV)}
    if replace and os.name == "posix":
        os.execve(program, [program, *command[1:]], environment)
    return subprocess.run([program, *command[1:]], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
