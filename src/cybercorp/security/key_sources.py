"""Where the key-encryption key comes from: a file, a systemd credential, the keyring, or a command that prints it.

The key is 32 bytes, written as base64 or as 64 hexadecimal digits, with or without a line's end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cybercorp.core.errors import AccessError, SettingsError
from cybercorp.core.paths import write_private_file
from cybercorp.security.vault import KEY_BYTES, new_key

KEY_FILE = "key-encryption-key"
CREDENTIAL = "cybercorp-key"
KEYRING_SERVICE = "cybercorp"
COMMAND_S = 30.0
_MAX_TEXT = 4096


class KeyEncryptionKey(msgspec.Struct, frozen=True):
    """`id` tells keys apart without telling the key; `source` says in words where it was found."""

    key: bytes
    source: str

    @property
    def id(self) -> str:
        return hashlib.sha256(b"cybercorp key-encryption key\0" + self.key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"KeyEncryptionKey({self.id}, {self.source!r})"


def find_key(
    source: str | None, folder: Path, environ: Mapping[str, str] | None = None, *, may_make: bool = True
) -> KeyEncryptionKey:
    """The key-encryption key of the server whose data folder is `folder`.

    `source` is `file:PATH`, `credential:NAME` (systemd's LoadCredential), `keyring:NAME` or `command:WORDS…` (argv, no
    shell; for Vault and its like). None takes the credential `cybercorp-key` where systemd hands one over, else the
    file `key-encryption-key` in the data folder, which is made where it is absent and `may_make` says so.

    Raises SettingsError and AccessError (`key_missing`, `credential_exposed`).
    """
    environment = os.environ if environ is None else environ
    if source is None:
        handed = environment.get("CREDENTIALS_DIRECTORY")
        if handed and (Path(handed) / CREDENTIAL).exists():
            source = f"credential:{CREDENTIAL}"
        else:
            return _own_file(folder / KEY_FILE, may_make=may_make)
    kind, _, rest = source.partition(":")
    if kind == "file" and rest:
        path = Path(rest).expanduser()
        return KeyEncryptionKey(parse_key(_read(path, private=True), source), f"the file {path}")
    if kind == "credential" and rest and "/" not in rest:
        handed = environment.get("CREDENTIALS_DIRECTORY")
        if not handed:
            raise _unusable(source, "systemd handed no credentials over", "Add LoadCredential= to the unit.")
        text = _read(Path(handed) / rest, private=False)
        return KeyEncryptionKey(parse_key(text, source), f"the systemd credential {rest}")
    if kind == "keyring" and rest:
        return KeyEncryptionKey(parse_key(_from_keyring(rest, source), source), f"the keyring entry {rest}")
    if kind == "command" and rest:
        return KeyEncryptionKey(parse_key(_from_command(rest), "the command"), "a command")
    raise SettingsError(
        "The setting 'key_source' cannot be read.",
        hint="Use file:PATH, credential:NAME, keyring:NAME or command:WORDS.",
    )


def parse_key(text: str, source: str) -> bytes:
    """The 32 bytes that a text spells. Raises SettingsError, which never repeats the text."""
    stripped = text.strip()
    try:
        is_hex = len(stripped) == 2 * KEY_BYTES
        key = bytes.fromhex(stripped) if is_hex else base64.b64decode(stripped.encode(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise _unusable(source, "it is not 32 bytes as base64 or hexadecimal", "Make one: openssl rand -base64 32.")
    return key


def format_key(key: bytes) -> str:
    """A key as a file holds it."""
    return base64.b64encode(key).decode("ascii") + "\n"


def _own_file(path: Path, *, may_make: bool) -> KeyEncryptionKey:
    if not path.exists() and not may_make:
        raise AccessError(
            f"The key that everything here is encrypted with was in {path}, and is not there any more.",
            hint="Put it back from where you keep a copy, or name another place in key_source; see docs/encryption.md.",
            code="key_missing",
        )
    if not path.exists():
        write_private_file(path, format_key(new_key()))
    return KeyEncryptionKey(parse_key(_read(path, private=True), str(path)), f"the file {path}")


def _read(path: Path, *, private: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_TEXT).decode("ascii", "replace")
    except OSError as error:
        raise _unusable(str(path), str(error.strerror or error), "Mend its path or its rights.") from error
    if private and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(
            f"The key in {path} can be read by others.",
            hint=f"Run: chmod 600 {path}; if somebody else was here: cybercorp keys rotate.",
            code="credential_exposed",
        )
    return text


def _from_keyring(name: str, source: str) -> str:
    import keyring
    from keyring.errors import KeyringError

    try:
        found = keyring.get_password(KEYRING_SERVICE, name)
    except KeyringError as error:
        raise _unusable(source, "the keyring does not answer", "Unlock it, or use file:PATH.") from error
    if found is None:
        raise _unusable(source, "the keyring has no such entry", f"Set it: keyring set {KEYRING_SERVICE} {name}.")
    return found


def _from_command(words: str) -> str:
    try:
        argv = shlex.split(words)
        done = subprocess.run(argv, capture_output=True, timeout=COMMAND_S, check=False, stdin=subprocess.DEVNULL)
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        why = f"it could not be run ({type(error).__name__})"
        raise _unusable("command:…", why, "Try it by hand as the server's user.") from error
    if done.returncode:
        raise _unusable("command:…", f"it ended with {done.returncode}", "Try it by hand as the server's user.")
    return done.stdout[:_MAX_TEXT].decode("ascii", "replace")


def _unusable(source: str, why: str, hint: str) -> SettingsError:
    return SettingsError(f"The key-encryption key cannot be had from {source}: {why}.", hint=hint)
