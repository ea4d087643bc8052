"""The program: settings, terminal, start and end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cybercorp.core.errors import SettingsError
from cybercorp.core.settings import load_settings
from cybercorp.tui.app import run_dashboard, shows_unicode
from cybercorp.tui.settings import TuiSettings
from cybercorp.tui.themes import THEMES
from tests.unit.tui.fake_client import FakeClient


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("UTF-16", True), ("ascii", False), ("latin-1", False)]
)
def test_glyphs_follow_the_terminals_encoding(encoding: str, unicode: bool) -> None:
    """A terminal that cannot show our glyphs is not sent them; no terminal means ASCII."""
    assert shows_unicode(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is unicode
    assert not shows_unicode(None)


def test_every_theme_can_be_set() -> None:
    """The names of the setting are those of the themes."""
    for theme in THEMES:
        name = theme.name.removeprefix("cybercorp-")
        assert load_settings(TuiSettings, program="tui", environ={"CYBERCORP_TUI_THEME": name}).theme == name


def test_a_wrong_setting_is_told_before_the_screen_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the key; no dashboard opens."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path))
    (tmp_path / "tui.toml").write_text('theme = "pink"')
    with pytest.raises(SettingsError, match="theme"):
        run_dashboard(FakeClient)
