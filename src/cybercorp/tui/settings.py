"""The dashboard's settings: `tui.toml` in the configuration folder, or `CYBERCORP_TUI_…` variables."""

from __future__ import annotations

from typing import Literal

import msgspec


class TuiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the dashboard looks."""

    theme: Literal["dark", "light", "high-contrast"] = "dark"
    """The theme it starts with; `ctrl+t` takes the next one."""

    glyphs: Literal["auto", "unicode", "ascii"] = "auto"
    """Which glyphs it draws with; `auto` asks the terminal's encoding."""
