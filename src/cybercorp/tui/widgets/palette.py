"""Tones to colours: what a theme makes of the meanings that state gives to text."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.widget import Widget

from cybercorp.tui.state.lines import Tone

_NAMES = ("foreground", "primary", "secondary", "accent", "success", "warning", "error", "background", "surface")
_ANSI: dict[Tone, Style] = {
    Tone.TEXT: Style(),
    Tone.MUTED: Style(dim=True),
    Tone.TITLE: Style(bold=True),
    Tone.VALUE: Style(bold=True),
    Tone.ACCENT: Style(color="cyan"),
    Tone.GOOD: Style(color="green"),
    Tone.WARNING: Style(color="yellow"),
    Tone.ERROR: Style(color="red"),
    Tone.BORDER: Style(color="bright_black"),
    Tone.FOCUS: Style(color="cyan"),
    Tone.CACHE: Style(color="blue"),
    Tone.CURSOR: Style(reverse=True),
    Tone.SECOND: Style(color="blue"),
}

Palette = dict[Tone, Style]


def palette_of(widget: Widget) -> Palette:
    """The colours of the present theme on the widget's background; computed once per theme and background."""
    app = widget.app
    if app.native_ansi_color:
        return _ansi_palette()
    variables = app.theme_variables
    return _palette(tuple(variables.get(name, "") for name in _NAMES), widget.visual_style.background)


def background_of(widget: Widget, variable: str) -> Style | None:
    """A background colour of the theme for a whole row, on what lies below; None where the terminal keeps its own."""
    if widget.app.native_ansi_color:
        return None
    color = _parse(widget.app.theme_variables.get(variable, ""))
    if color is None:
        return None
    return Style(bgcolor=(widget.visual_style.background + color).rich_color)


@lru_cache(maxsize=1)
def _ansi_palette() -> Palette:
    """Sixteen colours, for terminals that keep their own."""
    steps = ("green",) * 5 + ("yellow",) * 3 + ("red",) * 2
    return {**_ANSI, **{Tone(Tone.HEAT_0 + step): Style(color=name) for step, name in enumerate(steps)}}


@lru_cache(maxsize=32)
def _palette(colors: tuple[str, ...], under: Color) -> Palette:
    named = dict(zip(_NAMES, (_parse(text) for text in colors), strict=True))
    text = named["foreground"] or Color(224, 224, 224)
    back = named["surface"] or named["background"] or Color(18, 18, 18)
    accent = named["accent"] or named["primary"] or text
    good, warning, error = (
        named[name] or fallback
        for name, fallback in (
            ("success", Color(78, 191, 113)),
            ("warning", Color(255, 166, 43)),
            ("error", Color(186, 60, 91)),
        )
    )
    second = named["secondary"] or named["primary"] or text
    muted = text.blend(back, 0.45, 1.0)
    tones: dict[Tone, Style] = {
        Tone.TEXT: _style(text),
        Tone.MUTED: _style(muted),
        Tone.TITLE: _style(text, bold=True),
        Tone.VALUE: _style(text, bold=True),
        Tone.ACCENT: _style(accent.blend(text, 0.15, 1.0)),
        Tone.GOOD: _style(good),
        Tone.WARNING: _style(warning),
        Tone.ERROR: _style(error),
        Tone.BORDER: _style(text.blend(back, 0.72, 1.0)),
        Tone.FOCUS: _style(named["primary"] or accent),
        Tone.CACHE: _style(second.blend(text, 0.35, 1.0)),
        Tone.CURSOR: Style(color=back.rich_color, bgcolor=accent.rich_color),
        Tone.SECOND: _style(second.blend(text, 0.4, 1.0)),
    }
    for step in range(10):
        ratio = step / 9
        color = (
            good.blend(warning, ratio / 0.6, 1.0) if ratio <= 0.6 else warning.blend(error, (ratio - 0.6) / 0.4, 1.0)
        )
        tones[Tone(Tone.HEAT_0 + step)] = _style(color)
    base = Style(bgcolor=under.rich_color)
    return {tone: base + style for tone, style in tones.items()}


def _style(color: Color, *, bold: bool | None = None) -> Style:
    return Style(color=color.rich_color, bold=bold)


def _parse(text: str) -> Color | None:
    try:
        color = Color.parse(text)
    except ColorParseError:
        return None
    return None if color.ansi is not None else color
