"""Make the list of leaked passwords that nobody may choose, from a list with one password a line.

    python -m scripts.make_leaked_passwords 10_million_password_list_top_1M.txt

What is kept is described in `server/services/leaked_passwords.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cybercorp.protocol.users import MIN_PASSWORD
from cybercorp.server.services.leaked_passwords import FILE, digest
from cybercorp.server.services.passwords import normalized


def main(arguments: list[str]) -> int:
    """Write FILE anew; says how many passwords are in it."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    lines = Path(arguments[0]).read_text("utf-8", "replace").split("\n")
    words = {normalized(line) for line in lines if "\N{REPLACEMENT CHARACTER}" not in line}
    digests = {digest(word.casefold()) for word in words if len(word) >= MIN_PASSWORD}
    FILE.write_bytes(b"".join(sorted(digests)))
    print(f"{len(digests)} passwords of {MIN_PASSWORD} characters or more")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
