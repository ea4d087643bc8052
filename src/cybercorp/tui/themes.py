"""The dashboard's own themes. Meaning never rests on them: every state has a glyph."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="cybercorp-dark",
    primary="#5cb8ff",
    secondary="#9d8cff",
    accent="#ffb454",
    foreground="#d6dbe5",
    background="#0f131a",
    surface="#151a23",
    panel="#1d2430",
    success="#5fd08a",
    warning="#f2b84b",
    error="#ff6b6b",
    dark=True,
    variables={"block-hover-background": "#232c3a", "scrollbar": "#3a475a", "scrollbar-background": "#0f131a"},
)
LIGHT = Theme(
    name="cybercorp-light",
    primary="#0b62c4",
    secondary="#6b4fd8",
    accent="#a85b00",
    foreground="#1d2430",
    background="#fbfcfe",
    surface="#f1f4f8",
    panel="#e2e8f0",
    success="#1a7f42",
    warning="#9a6700",
    error="#c4262e",
    dark=False,
    variables={"block-hover-background": "#e6ebf2", "scrollbar-background": "#fbfcfe"},
)
HIGH_CONTRAST = Theme(
    name="cybercorp-high-contrast",
    primary="#00e5ff",
    secondary="#ff9cff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    success="#00ff66",
    warning="#ffff00",
    error="#ff6666",
    dark=True,
    variables={"block-hover-background": "#333333", "scrollbar": "#ffffff", "scrollbar-background": "#000000"},
)
THEMES = (DARK, LIGHT, HIGH_CONTRAST)


def next_theme(name: str) -> str:
    """The theme after this one."""
    names = [one.name for one in THEMES]
    return names[(names.index(name) + 1) % len(names)] if name in names else names[0]
