"""Process tables tell what people type: in the log and in chunks they are encrypted, each for its own place.

Samples are numbers under the names of metrics and stay as they are. What was written before there was a vault is read
as it is, until `reencrypt` has written it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cybercorp.core.errors import StorageCorruptError
from cybercorp.security.vault import Vault, is_sealed, key_number

Encrypt = Callable[[bytes], bytes]
PLAIN = 0
"""The number of no key: of what is not encrypted."""

_LOG, _CHUNKS, _COLUMN = "log", "chunks", "processes"


class Encryption:
    """Shared by whoever writes and reads one store. Without a vault nothing is encrypted, and nothing that is opens."""

    def __init__(self) -> None:
        self.vault: Vault | None = None

    def of_frame(self, entry: int, frame: int) -> PlaceCipher:
        """For a frame of a log entry."""
        return PlaceCipher(self.vault, _LOG, f"{entry}/{frame}")

    def of_chunk(self, host: int, first: int, last: int) -> PlaceCipher:
        """For the process tables of a host's sealed blocks `first`..`last`."""
        return PlaceCipher(self.vault, _CHUNKS, f"{host}/{first}-{last}")


class PlaceCipher(NamedTuple):
    """Encrypts for one place, and opens only what was encrypted for it."""

    vault: Vault | None
    table: str
    row: str

    def encrypt(self, plain: bytes) -> bytes:
        """36 bytes longer; as it is where there is no vault."""
        if self.vault is None:
            return plain
        return self.vault.seal_bytes(plain, table=self.table, column=_COLUMN, row=self.row)

    def decrypt(self, data: bytes) -> bytes:
        """Raises ValueError for what was changed or moved here, StorageCorruptError (`key_missing`).

        A missing key is not damage: what it opens must be left alone until the key is back.
        """
        if not is_sealed(data):
            return data
        if self.vault is None:
            raise StorageCorruptError(
                "The process tables are encrypted, and no key is at hand.",
                hint="Start the server with the key that they were written with; see docs/encryption.md.",
                code="key_missing",
            )
        try:
            return self.vault.open_bytes(data, table=self.table, column=_COLUMN, row=self.row)
        except StorageCorruptError as error:
            if error.error_code == "key_missing":
                raise
            raise ValueError("its process tables were changed, or belong elsewhere") from error


def key_of(data: bytes) -> int:
    """The number of the key that opens it, PLAIN where it is not encrypted. Raises ValueError."""
    if not is_sealed(data):
        return PLAIN
    try:
        return key_number(data)
    except StorageCorruptError as error:
        raise ValueError("its process tables are cut short") from error
