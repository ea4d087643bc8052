"""core.settings: one loader, one order, and errors that name the place."""

from pathlib import Path

import msgspec
import pytest

from cybercorp.core.errors import SettingsError
from cybercorp.core.settings import load_settings


class Example(msgspec.Struct, frozen=True, kw_only=True):
    port: int = 8765
    host: str = "127.0.0.1"
    debug: bool = False
    allowed_hosts: list[str] = []


def load(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, **flags: object) -> Example:
    file = tmp_path / "example.toml"
    file.write_text(text)
    return load_settings(Example, program="example", file=file, environ=environ or {}, overrides=flags)


def test_the_order_is_default_file_environment_flag(tmp_path: Path) -> None:
    """Each source wins over the one before it."""
    assert load(tmp_path).port == 8765
    assert load(tmp_path, "port = 1").port == 1
    assert load(tmp_path, "port = 1", {"CYBERCORP_EXAMPLE_PORT": "2"}).port == 2
    assert load(tmp_path, "port = 1", {"CYBERCORP_EXAMPLE_PORT": "2"}, port=3).port == 3
    assert load(tmp_path, "port = 1", port=None).port == 1


def test_environment_texts_become_values(tmp_path: Path) -> None:
    """Booleans and lists can be given by variables."""
    loaded = load(tmp_path, "", {"CYBERCORP_EXAMPLE_DEBUG": "yes", "CYBERCORP_EXAMPLE_ALLOWED_HOSTS": "a, b"})
    assert loaded.debug is True
    assert loaded.allowed_hosts == ["a", "b"]


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    """A typing error in the file is an error that shows the right word."""
    with pytest.raises(SettingsError, match=r"'prot' in .*example\.toml is no setting\. Did you mean 'port'\?"):
        load(tmp_path, "prot = 1")
    with pytest.raises(SettingsError, match="CYBERCORP_EXAMPLE_PROT"):
        load(tmp_path, "", {"CYBERCORP_EXAMPLE_PROT": "1"})


def test_a_wrong_value_names_key_and_place(tmp_path: Path) -> None:
    """The message says which key, where, which value."""
    with pytest.raises(SettingsError, match=r"'port' in .*example\.toml has the wrong value 'many'"):
        load(tmp_path, 'port = "many"')
    with pytest.raises(SettingsError, match="'debug' in the environment"):
        load(tmp_path, "", {"CYBERCORP_EXAMPLE_DEBUG": "perhaps"})


def test_a_broken_or_missing_file_is_said(tmp_path: Path) -> None:
    """No traceback for a file that is no TOML or that was named and is absent."""
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(tmp_path, "port = = 1")
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(Example, program="example", file=tmp_path / "absent.toml", environ={})
