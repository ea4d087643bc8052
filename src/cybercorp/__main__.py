"""The entry point: `cybercorp` and `python -m cybercorp`. `--version` answers before anything else is loaded."""

from __future__ import annotations

import sys

from cybercorp.core.version import VERSION


def main() -> int:
    """Run the command line; the result is the exit code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        sys.stdout.write(f"cybercorp {VERSION}\n")
        return 0
    # Typer alone takes three times as long as the whole answer to --version.
    from cybercorp.cli.main import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
