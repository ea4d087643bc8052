"""One registry of actions: keys, footer, help and palette say the same."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from textual.screen import Screen

from cybercorp.tui.actions import ACTIONS, SCREENS, Place, actions_of, bindings_of, footer_of, key_label
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.palette import ActionCommands
from cybercorp.tui.screens.audit import AuditScreen
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.events import EventsScreen
from cybercorp.tui.screens.fleet import FleetScreen
from cybercorp.tui.screens.help import help_text
from cybercorp.tui.screens.host import HostScreen
from tests.unit.tui.dashboards import dashboard

SCREEN_CLASSES: dict[Place, type[DashboardScreen]] = {
    Place.FLEET: FleetScreen,
    Place.HOST: HostScreen,
    Place.EVENTS: EventsScreen,
    Place.AUDIT: AuditScreen,
}


@pytest.mark.parametrize("place", sorted(SCREENS))
def test_no_key_means_two_things_on_one_screen(place: Place) -> None:
    """A key is one action's, the general ones included."""
    keys = Counter(key for one in actions_of(place) for key in one.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_ids_are_unique_and_every_action_says_its_mouse_way() -> None:
    """Nothing can be done by keyboard only."""
    assert len({one.id for one in ACTIONS}) == len(ACTIONS)
    assert [one.id for one in ACTIONS if not one.mouse] == []
    assert [one.id for one in ACTIONS if not one.keys or not one.title] == []


@pytest.mark.parametrize("place", sorted(SCREENS))
def test_every_key_stands_in_the_help_of_its_screen(place: Place) -> None:
    """`?` knows every key, its meaning and its mouse way."""
    text = help_text(place).plain
    for one in actions_of(place):
        assert one.title in text
        assert one.mouse in text
        for key in one.keys:
            assert key_label(key) in text
        assert f"{one.title}  " in text  # a gap before the mouse's column
        assert len(max(text.splitlines(), key=len)) <= 101  # the dialog's inside at 120 columns


@pytest.mark.parametrize("place", sorted(SCREENS))
def test_every_handler_exists(place: Place) -> None:
    """A row of the table without a method would be a key that does nothing."""
    for one in actions_of(place):
        if not one.handler:
            continue
        name = re.split(r"[(]", one.handler.removeprefix("app."))[0]
        owner: type = DashboardApp if one.handler.startswith("app.") else SCREEN_CLASSES[place]
        assert callable(getattr(owner, f"action_{name}", None)), one.id


def test_every_key_is_bound_where_it_applies() -> None:
    """The bindings of screens and app are those of the table."""
    for place, screen in SCREEN_CLASSES.items():
        bound = {getattr(one, "key", None): getattr(one, "action", None) for one in screen.BINDINGS}
        for one in ACTIONS:
            if place in one.places and one.handler:
                assert dict.fromkeys(one.keys, one.handler).items() <= bound.items()
    general = {getattr(one, "key", None) for one in DashboardApp.BINDINGS}
    assert general == {key for one in ACTIONS if Place.EVERYWHERE in one.places for key in one.keys}


def test_neighbours_with_one_label_share_it_in_the_footer() -> None:
    """`[ ] step` is one entry."""
    entries = {label: keys for keys, label, _ in footer_of(Place.FLEET)}
    assert entries["step"] == "[ ]"
    assert entries["zoom"] == "- +"


def test_control_c_ends_the_program_also_in_a_text_field() -> None:
    """It has priority over the field's own copy."""
    found = [one for one in bindings_of(Place.EVERYWHERE) if getattr(one, "key", "") == "ctrl+c"]
    assert [getattr(one, "priority", False) for one in found] == [True]


async def test_the_palette_lists_every_action_with_its_keys() -> None:
    """`:` shows what can be done on the screen below it."""
    async with dashboard() as seat:
        provider = ActionCommands(seat.app.screen)
        hits = {hit.text: str(getattr(hit, "help", "")) async for hit in provider.discover()}
        for one in actions_of(Place.FLEET):
            if one.handler:
                assert hits[one.title] == "  ".join(key_label(key) for key in one.keys)


async def test_the_palette_runs_an_action() -> None:
    """Type a piece of a title, press enter: it is done."""
    async with dashboard() as seat:
        await seat.press("colon")
        await seat.until(lambda: isinstance(seat.app.screen, Screen) and len(seat.app.screen_stack) == 2)
        await seat.press(*"Reverse")
        await seat.sees("Reverse the order")
        await seat.press("enter")
        fleet = seat.app.screen_stack[0]
        assert isinstance(fleet, FleetScreen)
        await seat.until(lambda: fleet.model.descending, "reversed")


async def test_the_palette_finds_a_host_by_its_name() -> None:
    """`host web-4` opens it."""
    async with dashboard() as seat:
        await seat.press("colon")
        await seat.press(*"host web-4")
        await seat.sees("host web-4")
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, HostScreen), "the host's screen")
        screen = seat.app.screen
        assert isinstance(screen, HostScreen)
        assert screen.host == "host_0004"
