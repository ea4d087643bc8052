"""A key locked with a passphrase: the right one opens it, nothing else does, and a hostile file costs little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cybercorp.core.errors import AccessError, InvalidInputError
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.passphrases import MEMORY_KIB, LockedKey, lock_key, read_passphrase, unlock_key
from cybercorp.security.vault import new_key

KEY = KeyEncryptionKey(new_key(), "a file")
PASSPHRASE = "four unrelated words"
CHEAP = 64


@pytest.fixture(scope="module")
def locked() -> LockedKey:
    return lock_key(KEY, PASSPHRASE, memory_kib=CHEAP)


def test_the_passphrase_opens_it(locked: LockedKey) -> None:
    """As it was, under the same name; neither key nor passphrase is part of what is written."""
    assert unlock_key(locked, PASSPHRASE).key == KEY.key
    assert unlock_key(locked, PASSPHRASE).id == locked.id
    written = msgspec.json.encode(locked)
    assert KEY.key.hex().encode() not in written
    assert PASSPHRASE.encode() not in written


def test_the_real_cost() -> None:
    """What a guess costs: 256 MiB, three passes (OWASP asks 46 MiB and one)."""
    assert MEMORY_KIB == 262_144
    assert lock_key(KEY, PASSPHRASE, memory_kib=CHEAP).iterations == 3


@pytest.mark.parametrize("wrong", ["four unrelated word", "", PASSPHRASE + "\n", "x" * 5000])
def test_another_passphrase_does_not(locked: LockedKey, wrong: str) -> None:
    """And says so."""
    with pytest.raises(AccessError) as caught:
        unlock_key(locked, wrong)
    assert caught.value.error_code == "passphrase_wrong"


@pytest.mark.parametrize(
    "changed",
    [
        {"memory_kib": 1 << 30},
        {"memory_kib": 1},
        {"iterations": 1 << 20},
        {"iterations": 0},
        {"lanes": 0},
        {"lanes": 1 << 20},
        {"salt": b""},
        {"id": "another"},
        {"sealed": "sealed1.AAAA"},
        {"sealed": ""},
    ],
)
def test_a_hostile_file_is_refused(locked: LockedKey, changed: dict[str, Any]) -> None:
    """Before it can take memory or time, and never as another key."""
    with pytest.raises((AccessError, InvalidInputError)):
        unlock_key(msgspec.structs.replace(locked, **changed), PASSPHRASE)


def test_a_short_passphrase_is_refused() -> None:
    """It would be guessed."""
    with pytest.raises(InvalidInputError):
        lock_key(KEY, "elevenchars")


def test_the_first_line_counts(tmp_path: Path) -> None:
    """Whatever ends it; what cannot be read is told."""
    file = tmp_path / "passphrase"
    for ending in ("", "\n", "\r\n", "\nmore"):
        file.write_bytes(PASSPHRASE.encode() + ending.encode())
        assert read_passphrase(file) == PASSPHRASE
    file.write_bytes(b"\xff\xfe")
    for path in (file, tmp_path / "absent"):
        with pytest.raises(InvalidInputError):
            read_passphrase(path)
