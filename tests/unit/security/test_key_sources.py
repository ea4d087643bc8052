"""Where the key-encryption key comes from, and that nothing of it is ever told."""

import stat
import sys
from pathlib import Path

import pytest

from cybercorp.core.errors import AccessError, SettingsError
from cybercorp.security.key_sources import KEY_FILE, KeyEncryptionKey, find_key, format_key, parse_key
from cybercorp.security.vault import new_key


def test_the_first_start_makes_a_file(tmp_path: Path) -> None:
    """0600 in the data folder; every later start finds the same key."""
    made = find_key(None, tmp_path, {})
    assert find_key(None, tmp_path, {}) == made
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert made.id in repr(made)
    assert format_key(made.key).strip() not in repr(made)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """It says what to run."""
    find_key(None, tmp_path, {})
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(AccessError, match="chmod 600"):
        find_key(None, tmp_path, {})


def test_systemd_hands_it_over(tmp_path: Path) -> None:
    """The credential `cybercorp-key` wins over the file by itself; another name is asked for."""
    key = new_key()
    for name in ("cybercorp-key", "other"):
        (tmp_path / name).write_text(format_key(key))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_key(None, tmp_path / "data", environ).key == key
    assert find_key("credential:other", tmp_path, environ).key == key
    for source, given in (("credential:../other", environ), ("credential:none", environ), ("credential:other", {})):
        with pytest.raises(SettingsError):
            find_key(source, tmp_path, given)


def test_a_command_prints_it(tmp_path: Path) -> None:
    """Run as words, never by a shell; what it says wrongly is not repeated."""
    key = new_key()
    script = tmp_path / "vault.py"
    script.write_text(f"print({format_key(key)!r})")
    assert find_key(f"command:{sys.executable} {script}", tmp_path, {}).key == key
    script.write_text("print('hunter2')")
    with pytest.raises(SettingsError) as wrong:
        find_key(f"command:{sys.executable} {script}", tmp_path, {})
    assert "hunter2" not in str(wrong.value)
    for words in (f"{sys.executable} -c 'raise SystemExit(3)'", "/nowhere/at/all", "'unclosed"):
        with pytest.raises(SettingsError):
            find_key(f"command:{words}", tmp_path, {})


@pytest.mark.parametrize("source", ["", "file:", "file", "vault:x", "file:/nowhere", "keyring:"])
def test_a_source_that_is_none(tmp_path: Path, source: str) -> None:
    """A clear error, no key made in silence."""
    with pytest.raises(SettingsError):
        find_key(source, tmp_path, {})
    assert not (tmp_path / KEY_FILE).exists()


def test_how_a_key_is_written() -> None:
    """Base64 or hexadecimal; anything else is refused without being repeated."""
    key = new_key()
    assert (
        parse_key(format_key(key), "here") == parse_key(key.hex(), "here") == parse_key(f" {key.hex()}\r\n", "") == key
    )
    for text in ("", "hunter2", "00" * 31, "zz" * 32, "é" * 32):
        with pytest.raises(SettingsError) as wrong:
            parse_key(text, "here")
        assert not text or text not in str(wrong.value)
    assert KeyEncryptionKey(key, "a").id == KeyEncryptionKey(key, "b").id != KeyEncryptionKey(new_key(), "a").id
