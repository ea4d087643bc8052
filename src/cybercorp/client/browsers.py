"""A page in the browser beside this terminal, where there is one."""

from __future__ import annotations

import os
import sys


def has_desktop() -> bool:
    """Whether a browser would open beside this terminal, not in it and not on another machine."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(address: str) -> bool:
    """Open it where there is a desktop; whether that was tried."""
    if not has_desktop():
        return False
    import webbrowser

    return webbrowser.open(address)
