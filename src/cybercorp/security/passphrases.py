"""A key-encryption key locked with a passphrase: Argon2id (RFC 9106) makes the key that wraps it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from cybercorp.core.errors import AccessError, InvalidInputError, StorageCorruptError
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.vault import KEY_BYTES, Vault

SHORTEST = 12
MEMORY_KIB = 262_144
_ITERATIONS, _LANES = 3, 4
_MOST_MEMORY_KIB, _MOST_ITERATIONS, _MOST_LANES = 1_048_576, 16, 16
_SALT_BYTES = 16
_MOST_TEXT = 4096
_PLACE = {"table": "backup", "column": "key"}


class LockedKey(msgspec.Struct, frozen=True, kw_only=True):
    """`id` names the key, `sealed` holds it; the rest is what Argon2id was given."""

    id: str
    sealed: str
    salt: bytes
    memory_kib: int
    iterations: int
    lanes: int


def lock_key(key: KeyEncryptionKey, passphrase: str, *, memory_kib: int = MEMORY_KIB) -> LockedKey:
    """Raises InvalidInputError for a passphrase that is too short."""
    if len(passphrase) < SHORTEST:
        raise InvalidInputError(
            f"The passphrase is shorter than {SHORTEST} characters.", hint="Take four words that belong nowhere."
        )
    salt = os.urandom(_SALT_BYTES)
    vault = Vault({1: _derive(passphrase, salt, memory_kib, _ITERATIONS, _LANES)}, 1)
    sealed = vault.seal(key.key, row=key.id, **_PLACE)
    return LockedKey(id=key.id, sealed=sealed, salt=salt, memory_kib=memory_kib, iterations=_ITERATIONS, lanes=_LANES)


def unlock_key(locked: LockedKey, passphrase: str) -> KeyEncryptionKey:
    """The key. Raises AccessError (`passphrase_wrong`), InvalidInputError for what nobody locked."""
    bounds = (
        (locked.memory_kib, 8 * max(1, locked.lanes), _MOST_MEMORY_KIB),
        (locked.iterations, 1, _MOST_ITERATIONS),
        (locked.lanes, 1, _MOST_LANES),
        (len(locked.salt), 8, 64),
    )
    if not all(low <= value <= high for value, low, high in bounds):
        raise InvalidInputError("The locked key in this file cannot be read.", hint="Use another copy of it.")
    derived = _derive(passphrase, locked.salt, locked.memory_kib, locked.iterations, locked.lanes)
    try:
        key = KeyEncryptionKey(Vault({1: derived}, 1).open(locked.sealed, row=locked.id, **_PLACE), "the passphrase")
    except StorageCorruptError as error:
        raise AccessError(
            "The passphrase is not the one that this file was made with.",
            hint="Mind line ends and blanks in the file that holds it.",
            code="passphrase_wrong",
        ) from error
    if len(key.key) != KEY_BYTES or key.id != locked.id:
        raise InvalidInputError("The locked key in this file is not the one it names.", hint="Use another copy of it.")
    return key


def read_passphrase(path: Path) -> str:
    """The first line of a file. Raises InvalidInputError."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_TEXT).decode().split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read.", hint="Name a file that holds the passphrase.") from error


def _derive(passphrase: str, salt: bytes, memory_kib: int, iterations: int, lanes: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    made = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return made.derive(passphrase.encode())
