"""The server's settings: what cannot work is refused with the values that can."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cybercorp.core.errors import SettingsError
from cybercorp.core.settings import load_settings
from cybercorp.server.settings import ServerSettings


@pytest.mark.parametrize(
    "values",
    [
        {"port": -1},
        {"port": 65_536},
        {"retention_days": 0},
        {"retention_days": float("nan")},
        {"retention_days": float("inf")},
        {"events_retention_days": -1.0},
        {"max_bytes": 1},
        {"commit_interval_ms": 0},
    ],
)
def test_values_that_cannot_work(values: dict[str, Any]) -> None:
    """The error names the setting and its range."""
    with pytest.raises(SettingsError, match=f"'{next(iter(values))}'") as refused:
        ServerSettings(**values).check()
    assert " to " in refused.value.hint


def test_the_defaults_work() -> None:
    """And listen on this machine only."""
    settings = ServerSettings()
    settings.check()
    assert settings.host == "127.0.0.1"
    assert settings.host_names() == {"127.0.0.1", "::1", "localhost"}


def test_names_by_which_it_is_called() -> None:
    """Loopback's, the address it listens on, and the configured ones, in lower case."""
    assert "10.0.0.5" in ServerSettings(host="10.0.0.5").host_names()
    assert "fe80::1" in ServerSettings(host="[FE80::1]").host_names()
    assert "cc.example" in ServerSettings(allowed_hosts=["CC.Example"]).host_names()
    assert "0.0.0.0" not in ServerSettings(host="0.0.0.0").host_names()


def test_every_setting_is_described() -> None:
    """The reference page is made from the descriptions."""
    for field in msgspec.structs.fields(ServerSettings):
        assert field.type.__metadata__[0].description, field.name


def test_environment_and_file(tmp_path: Path) -> None:
    """The environment wins over the file, the command line over both."""
    file = tmp_path / "server.toml"
    file.write_text('port = 1\nhost = "::1"\nallowed_hosts = ["a"]\n')
    environ = {"CYBERCORP_SERVER_PORT": "2", "CYBERCORP_SERVER_ALLOWED_HOSTS": "b, c"}
    settings = load_settings(
        ServerSettings, program="server", file=file, environ=environ, overrides={"retention_days": 3}
    )
    assert (settings.port, settings.host, settings.allowed_hosts) == (2, "::1", ["b", "c"])
    assert settings.retention_ms == 3 * 86_400_000
