"""Which screen shows a host. It is imported when the first host is opened: the dashboard starts without its charts."""

from __future__ import annotations

import importlib

from cybercorp.tui.screens.dashboard import DashboardScreen


def open_host_screen(host_id: str) -> DashboardScreen:
    """The screen of one host."""
    module = importlib.import_module("cybercorp.tui.screens.host")
    made: DashboardScreen = module.HostScreen(host_id)
    return made
