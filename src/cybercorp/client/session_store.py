"""Where this user's log-ins are kept: in the keyring of the operating system, or in files that only they can read.

One file a profile, `<config>/sessions/<profile>.json`, 0600. With a keyring the file says so, and holds no token.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cybercorp.core.errors import AccessError, SettingsError, StorageUnwritableError
from cybercorp.core.paths import config_dir as default_config_dir
from cybercorp.core.paths import ensure_private_dir, write_private_file
from cybercorp.protocol.decoding import UNREADABLE

FOLDER = "sessions"
KEYRING_SERVICE = "cybercorp"
_MAX_BYTES = 65_536


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in: the tokens as they are now, and until when the access token is good (Unix milliseconds)."""

    url: str
    user: str
    session_id: str
    access_token: str
    access_until_ms: int
    refresh_token: str

    def __repr__(self) -> str:
        return f"StoredSession(user={self.user!r}, url={self.url!r})"


class _InKeyring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyring: bool
    url: str


class SessionStore:
    """The log-in of one profile."""

    def __init__(self, profile: str, config_dir: Path | None = None) -> None:
        self.profile = profile
        self.path = (config_dir or default_config_dir()) / FOLDER / f"{profile}.json"

    def load(self) -> StoredSession | None:
        """The log-in, None where there is none. Raises AccessError where others can read it, SettingsError."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AccessError(
                f"The session {self.path} cannot be read: {error.strerror or error}.", hint="Mend its rights."
            ) from error
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise AccessError(
                f"The session {self.path} can be read by others.",
                hint="Log out and in again: cybercorp logout, cybercorp login.",
                code="credential_exposed",
            )
        with contextlib.suppress(*UNREADABLE):
            placed = msgspec.json.decode(text, type=_InKeyring)
            kept = _from_keyring(f"{self.profile} {placed.url}") if placed.keyring else None
            if kept is None:
                return None
            text = kept.encode()
        try:
            return msgspec.json.decode(text, type=StoredSession)
        except UNREADABLE as error:
            raise SettingsError(
                f"The session {self.path} is damaged.", hint="Log in again: cybercorp login."
            ) from error

    def save(self, session: StoredSession) -> None:
        """Keep it where it was kept before; a new one in the keyring where there is a usable one."""
        text = msgspec.json.encode(session).decode()
        in_keyring = self._is_in_keyring() if self.path.exists() else True
        if in_keyring and _to_keyring(f"{self.profile} {session.url}", text):
            text = msgspec.json.encode(_InKeyring(keyring=True, url=session.url)).decode()
        write_private_file(self.path, text + "\n")

    def remove(self) -> bool:
        """Forget it; False where there was none."""
        if self._is_in_keyring():
            with contextlib.suppress(*UNREADABLE, OSError):
                placed = msgspec.json.decode(self.path.read_bytes(), type=_InKeyring)
                _forget_in_keyring(f"{self.profile} {placed.url}")
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageUnwritableError(
                f"{self.path} cannot be removed: {error.strerror or error}.", hint="Mend its rights."
            ) from error
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process alone may renew it now; another one does where it is False. Never waits."""
        ensure_private_dir(self.path.parent)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def _is_in_keyring(self) -> bool:
        try:
            return msgspec.json.decode(self.path.read_bytes()[:_MAX_BYTES], type=_InKeyring).keyring
        except (OSError, *UNREADABLE):
            return False


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True  # two renewals within ten seconds get the same answer: the lock only saves one of them
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _to_keyring(name: str, text: str) -> bool:
    import keyring
    from keyring.backends import fail, null
    from keyring.errors import KeyringError

    try:
        backend = keyring.get_keyring()
        if isinstance(backend, fail.Keyring | null.Keyring):
            return False
        backend.set_password(KEYRING_SERVICE, name, text)
        return bool(backend.get_password(KEYRING_SERVICE, name) == text)
    except (KeyringError, OSError, RuntimeError):
        return False


def _from_keyring(name: str) -> str | None:
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(KEYRING_SERVICE, name)
    except (KeyringError, OSError, RuntimeError) as error:
        raise AccessError(
            f"The keyring does not answer: {type(error).__name__}.", hint="Unlock it, or log in again: cybercorp login."
        ) from error


def _forget_in_keyring(name: str) -> None:
    import keyring
    from keyring.errors import KeyringError

    with contextlib.suppress(KeyringError, OSError, RuntimeError):
        keyring.delete_password(KEYRING_SERVICE, name)
