"""Encryption at rest: AES-256-GCM (NIST SP 800-38D) with data keys, of which only wrapped copies are stored.

What is sealed belongs to one place: table, column, row and the number of the key are authenticated with it, so a
ciphertext that is moved to another row, or whose key number is changed, does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cybercorp.core.errors import StorageCorruptError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_TEXT_MARK = "sealed1."
_MARK = b"CCS1"
_HEAD = struct.Struct("<4sI")


class Vault:
    """Seals with the current data key and opens with any; both may change while it is in use (online rotation)."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        """`keys` are the data keys (32 bytes each) by their numbers."""
        self._ciphers: dict[int, AESGCM] = {}
        for number, key in keys.items():
            self.add(number, key)
        self.use(current)

    @property
    def current(self) -> int:
        """The number of the key that seals."""
        return self._current

    def add(self, number: int, key: bytes) -> None:
        """One more key to open with."""
        self._ciphers[number] = _cipher(key)

    def has(self, number: int) -> bool:
        """Whether this key is here to open with."""
        return number in self._ciphers

    def use(self, number: int) -> None:
        """From now on this key seals."""
        if number not in self._ciphers:
            raise KeyError(number)
        self._current = number

    def drop(self, number: int) -> None:
        """Nothing is sealed with this key any more."""
        if number == self._current:
            raise ValueError("the current key stays")
        self._ciphers.pop(number, None)

    def seal_bytes(self, plain: bytes, *, table: str, column: str, row: str) -> bytes:
        """`plain` sealed for one place: 36 bytes longer."""
        nonce = os.urandom(_NONCE_BYTES)
        place = _place(table, column, row, self._current)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, place)
        return _HEAD.pack(_MARK, self._current) + nonce + sealed

    def open_bytes(self, sealed: bytes, *, table: str, column: str, row: str) -> bytes:
        """What was sealed for this place. Raises StorageCorruptError (`sealed_wrong`, `key_missing`)."""
        from cryptography.exceptions import InvalidTag

        number = key_number(sealed)
        cipher = self._ciphers.get(number)
        if cipher is None:
            raise StorageCorruptError(
                f"What {table}.{column} holds was sealed with key {number}, which is not here.",
                hint="Start the server with the key that it was written with; see docs/encryption.md.",
                code="key_missing",
            )
        at = _HEAD.size
        try:
            return cipher.decrypt(
                sealed[at : at + _NONCE_BYTES], sealed[at + _NONCE_BYTES :], _place(table, column, row, number)
            )
        except InvalidTag as error:
            raise _wrong(table, column) from error

    def seal(self, plain: bytes, *, table: str, column: str, row: str) -> str:
        """As `seal_bytes`, as text for a column."""
        sealed = self.seal_bytes(plain, table=table, column=column, row=row)
        return _TEXT_MARK + base64.urlsafe_b64encode(sealed).decode("ascii")

    def open(self, sealed: str, *, table: str, column: str, row: str) -> bytes:
        """What `seal` made for this place. Raises StorageCorruptError (`sealed_wrong`, `key_missing`)."""
        return self.open_bytes(_bytes_of(sealed, table, column), table=table, column=column, row=row)


def is_sealed(data: bytes | str) -> bool:
    """Whether it begins as something sealed does."""
    return data.startswith(_TEXT_MARK) if isinstance(data, str) else data.startswith(_MARK)


def key_number(sealed: bytes | str) -> int:
    """The number of the key that sealed it. Raises StorageCorruptError (`sealed_wrong`)."""
    data = _bytes_of(sealed, "a table", "a column") if isinstance(sealed, str) else sealed
    if len(data) < _HEAD.size + _NONCE_BYTES + _TAG_BYTES or not data.startswith(_MARK):
        raise _wrong("a table", "a column")
    return int(_HEAD.unpack_from(data)[1])


def wrap_key(key: bytes, number: int, key_encryption_key: bytes) -> str:
    """A data key as it is stored: sealed with the key-encryption key, for its number."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = _cipher(key_encryption_key).encrypt(nonce, key, _place("data_keys", "wrapped", str(number), 0))
    return base64.urlsafe_b64encode(nonce + sealed).decode("ascii")


def unwrap_key(wrapped: str, number: int, key_encryption_key: bytes) -> bytes:
    """The data key. Raises StorageCorruptError (`sealed_wrong`) where the key-encryption key is another one."""
    from cryptography.exceptions import InvalidTag

    try:
        data = base64.urlsafe_b64decode(wrapped.encode())
        place = _place("data_keys", "wrapped", str(number), 0)
        return _cipher(key_encryption_key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place)
    except (binascii.Error, ValueError, InvalidTag) as error:
        raise _wrong("data_keys", "wrapped") from error


def new_key() -> bytes:
    """A fresh key: 32 random bytes."""
    return os.urandom(KEY_BYTES)


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return AESGCM(key)


def _place(table: str, column: str, row: str, number: int) -> bytes:
    """Unambiguous whatever the names hold: each is preceded by its length."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (table, column, row)]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts) + struct.pack("<I", number)


def _bytes_of(sealed: str, table: str, column: str) -> bytes:
    if not sealed.startswith(_TEXT_MARK):
        raise _wrong(table, column)
    try:
        return base64.b64decode(sealed.removeprefix(_TEXT_MARK).encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(table, column) from error


def _wrong(table: str, column: str) -> StorageCorruptError:
    return StorageCorruptError(
        f"What {table}.{column} holds does not open: it was changed, moved, or sealed with another key.",
        hint="Start the server with the key that it was written with, or restore a backup; see docs/encryption.md.",
        code="sealed_wrong",
    )
