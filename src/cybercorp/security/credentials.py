"""A credential on this machine: where a server is and the token to show it, in a file only its owner can read.

The server of `cybercorp up` writes the local owner's into its data folder; command line, dashboard and library on this
machine find it there. An agent keeps its own in its state folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from cybercorp.core.errors import AccessError, InvalidInputError
from cybercorp.core.paths import write_private_file
from cybercorp.protocol.decoding import UNREADABLE

OWNER_FILE = "owner.json"
AGENT_FILE = "agent.json"


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`url` of the server and the bearer `token` for it; an agent's also names its host and the name it joined by.

    `pins` are of the authorities that may vouch for the server, `authority` their certificates (PEM) once fetched.
    An agent proves itself with its key pair (Ed25519, hex) of a `generation` with its `mark`.
    Where `profile` is given and `token` is not, the token is that of the log-in which the profile has.
    """

    url: str
    token: str
    host_id: str = ""
    name: str = ""
    profile: str = ""
    pins: tuple[str, ...] = ()
    authority: str = ""
    private_key: str = ""
    public_key: str = ""
    generation: int = 0
    mark: str = ""

    def __repr__(self) -> str:
        return f"Credential(url={self.url!r})"


def read_credential(path: Path) -> Credential | None:
    """The credential in this file, or None where there is no such file.

    Raises AccessError when others can read it or we cannot, InvalidInputError when it is damaged.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(65536)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(
            f"The credential {path} cannot be read: {error.strerror or error}.", hint="Run as the user who owns it."
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(
            f"The credential {path} can be read by others.",
            hint=f"Run: chmod 600 {path} (and make a new one if somebody else was here).",
            code="credential_exposed",
        )
    try:
        return msgspec.json.decode(text, type=Credential)
    except UNREADABLE as error:
        raise InvalidInputError(
            f"The credential {path} is damaged.", hint="Delete it; the server makes a new one when it starts."
        ) from error


def write_credential(path: Path, credential: Credential) -> None:
    """Write it for this user only (0600), whole or not at all."""
    write_private_file(path, msgspec.json.format(msgspec.json.encode(credential), indent=2).decode() + "\n")
