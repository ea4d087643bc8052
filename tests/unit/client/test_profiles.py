"""Which server and which token."""

from pathlib import Path

import pytest

from cybercorp.client.profiles import (
    PROFILES_FILE,
    Profile,
    find_credential,
    forget_default,
    read_profiles,
    remove_profile,
    save_profile,
)
from cybercorp.core.errors import AccessError, InvalidInputError, NotFoundError, SettingsError, UnreachableError
from cybercorp.security.credentials import OWNER_FILE, Credential, write_credential

LOCAL = Credential(url="http://127.0.0.1:8765", token="cco_local")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration and a data folder; the data folder knows a local owner."""
    write_credential(tmp_path / "data" / OWNER_FILE, LOCAL)
    return tmp_path / "config", tmp_path / "data"


def test_arguments_win_over_everything(folders: tuple[Path, Path]) -> None:
    """A script that names server and token gets exactly these."""
    config, data = folders
    environ = {"CYBERCORP_URL": "http://env:1", "CYBERCORP_TOKEN": "env"}
    found = find_credential("http://arg:1", token="arg", data_dir=data, config_dir=config, environ=environ)
    assert (found.url, found.token) == ("http://arg:1", "arg")


def test_the_environment_wins_over_profiles(folders: tuple[Path, Path]) -> None:
    """CYBERCORP_URL and CYBERCORP_TOKEN decide where nothing is given."""
    config, data = folders
    save_profile("prod", Profile(url="http://prod:1", token="p"), config_dir=config)
    environ = {"CYBERCORP_URL": "http://env:1", "CYBERCORP_TOKEN": "env"}
    found = find_credential(data_dir=data, config_dir=config, environ=environ)
    assert (found.url, found.token) == ("http://env:1", "env")


def test_a_named_profile_wins_over_the_environment(folders: tuple[Path, Path]) -> None:
    """`--profile` is an argument."""
    config, data = folders
    save_profile("prod", Profile(url="http://prod:1", token="p"), config_dir=config)
    environ = {"CYBERCORP_URL": "http://env:1", "CYBERCORP_TOKEN": "env"}
    found = find_credential(profile="prod", data_dir=data, config_dir=config, environ=environ)
    assert (found.url, found.token) == ("http://prod:1", "p")


def test_the_default_profile_wins_over_the_local_owner(folders: tuple[Path, Path]) -> None:
    """Who has chosen a profile means it; CYBERCORP_PROFILE chooses another."""
    config, data = folders
    save_profile("prod", Profile(url="http://prod:1", token="p"), config_dir=config)
    save_profile("test", Profile(url="http://test:1", token="t"), config_dir=config)
    assert find_credential(data_dir=data, config_dir=config, environ={}).url == "http://prod:1"
    chosen = find_credential(data_dir=data, config_dir=config, environ={"CYBERCORP_PROFILE": "test"})
    assert chosen.url == "http://test:1"


def test_without_anything_the_local_owner_is_used(folders: tuple[Path, Path]) -> None:
    """`cybercorp hosts` after `cybercorp up` just works."""
    config, data = folders
    assert find_credential(data_dir=data, config_dir=config, environ={}) == LOCAL


def test_no_server_at_all_is_said_with_what_to_do(tmp_path: Path) -> None:
    """The code is `no_server`, the hint names the command."""
    with pytest.raises(UnreachableError) as caught:
        find_credential(data_dir=tmp_path, config_dir=tmp_path, environ={})
    assert caught.value.error_code == "no_server"
    assert "cybercorp up" in caught.value.hint


def test_after_a_logout_the_only_profile_is_used(tmp_path: Path) -> None:
    """Logging in again needs no address; of several one must be chosen, and the hint names them."""
    config, data = tmp_path / "config", tmp_path / "data"
    save_profile("ops", Profile(url="http://ops:1"), config_dir=config)
    forget_default("ops", config_dir=config)
    assert find_credential(data_dir=data, config_dir=config, environ={}).profile == "ops"
    save_profile("lab", Profile(url="http://lab:1"), config_dir=config)
    forget_default("lab", config_dir=config)
    with pytest.raises(UnreachableError, match="No server is known") as caught:
        find_credential(data_dir=data, config_dir=config, environ={})
    assert caught.value.hint == "Choose one with --profile: lab, ops."


def test_a_token_goes_only_to_its_own_server(folders: tuple[Path, Path]) -> None:
    """An address alone takes the token known for this very address, never that of another one."""
    config, data = folders
    save_profile("prod", Profile(url="https://prod.example.com", token="p"), config_dir=config)
    known = find_credential("https://prod.example.com/", data_dir=data, config_dir=config, environ={})
    local = find_credential("127.0.0.1:8765", data_dir=data, config_dir=config, environ={})
    foreign = find_credential("https://evil.example.com", data_dir=data, config_dir=config, environ={})
    assert (known.token, local.token, foreign.token) == ("p", "cco_local", "")


def test_profiles_are_private_and_survive_a_round_trip(tmp_path: Path) -> None:
    """The file holds tokens: 0600. What is saved is read back, whatever characters it has."""
    path = save_profile("a", Profile(url="http://a:1", token='q"\\ü'), config_dir=tmp_path)
    save_profile("b", Profile(url="http://b:1", token="t"), default=True, config_dir=tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    profiles = read_profiles(tmp_path)
    assert profiles.default == "b"
    assert profiles.profiles["a"] == Profile(url="http://a:1", token='q"\\ü')


def test_a_removed_profile_is_gone_and_no_default(tmp_path: Path) -> None:
    """Removing the default leaves none; removing twice is an error that lists the known ones."""
    save_profile("a", Profile(url="http://a:1"), config_dir=tmp_path)
    remove_profile("a", config_dir=tmp_path)
    assert read_profiles(tmp_path).default is None
    with pytest.raises(NotFoundError) as caught:
        remove_profile("a", config_dir=tmp_path)
    assert caught.value.error_code == "profile_not_found"


def test_a_profile_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A token that others can read is worth nothing; the hint says how to mend it."""
    path = save_profile("a", Profile(url="http://a:1"), config_dir=tmp_path)
    path.chmod(0o644)
    with pytest.raises(AccessError) as caught:
        read_profiles(tmp_path)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("text", ["[profiles", "profiles = 3", "[profiles.a]\nurl = 1", "colour = 'red'"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    """What cannot be read is said with the file's name."""
    path = tmp_path / PROFILES_FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=PROFILES_FILE):
        read_profiles(tmp_path)


def test_a_profile_name_cannot_break_the_file(tmp_path: Path) -> None:
    """Names stay within letters, digits, dash and underscore."""
    with pytest.raises(InvalidInputError):
        save_profile("a]\nx", Profile(url="http://a:1"), config_dir=tmp_path)
