"""Every action of the dashboard in one table: it drives key bindings, the footer, the help screen and the palette.

To add one: a row here and a method `action_<handler>` on the screen (or on the app for `app.…`). Tests hold that no key
means two things on one screen, that every handler exists, and that help and palette know every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from textual.binding import Binding, BindingType

from cybercorp.tui.state.host_layout import PANELS


class Place(StrEnum):
    """Where an action applies: everywhere (also over dialogs), or on a screen by its `PLACE`."""

    EVERYWHERE = "everywhere"
    FLEET = "fleet"
    HOST = "host"
    EVENTS = "events"
    AUDIT = "audit"


SCREENS = frozenset({Place.FLEET, Place.HOST, Place.EVENTS, Place.AUDIT})
_ANY = frozenset({Place.EVERYWHERE})
_FLEET = frozenset({Place.FLEET})
_HOST = frozenset({Place.HOST})
_EVENTS = frozenset({Place.EVENTS})
_AUDIT = frozenset({Place.AUDIT})


class Action(NamedTuple):
    """One thing a person can do. `keys` are Textual's names, `handler` an action of the screen, or `app.…`.

    `label` is the word in the footer (none: not shown there); neighbours with the same label share it. `mouse` says how
    the mouse does it. An action without a handler is done by the focused widget; it has no palette entry.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    group: str
    places: frozenset[Place]
    handler: str
    mouse: str
    label: str = ""


GENERAL, TIME, LISTS, FLEET, HOST = "General", "Time", "Lists", "Fleet", "Host"
EVENTS, AUDIT = "Events", "Audit"
_FOOTER = "click it in the footer"

# fmt: off
# The footer shows rows in this order: what a screen is for comes first.
ACTIONS: tuple[Action, ...] = (
    Action("fleet.open", ("enter",), "Open the selected host",
           FLEET, _FLEET, "open_host", "double click a host", "open"),
    Action("fleet.filter", ("slash",), "Filter hosts: web-* env=prod cpu>80",
           FLEET, _FLEET, "filter", _FOOTER, "filter"),
    Action("fleet.sort", ("s",), "Sort by the next column",
           FLEET, _FLEET, "sort", "click a column's head", "sort"),
    Action("fleet.reverse", ("S",), "Reverse the order",
           FLEET, _FLEET, "reverse", "click the sorted head again", "reverse"),
    Action("fleet.add", ("c",), "Add a host: make a join command and copy it",
           FLEET, _FLEET, "add_host", "click the last row", "add host"),
    Action("events.open", ("enter",), "Details of the selected event",
           EVENTS, _EVENTS, "open_event", "double click an event", "details"),
    Action("events.go", ("g",), "Go to the instant of the selected event",
           EVENTS, _EVENTS, "go_to_event", _FOOTER, "go to instant"),
    Action("events.filter", ("slash",), "Filter events by kind, host or text",
           EVENTS, _EVENTS, "filter", _FOOTER, "filter"),
    Action("events.order", ("o",), "Newest first, or oldest first",
           EVENTS, _EVENTS, "order", _FOOTER, "order"),
    Action("audit.open", ("enter",), "Details of the selected record",
           AUDIT, _AUDIT, "open_event", "double click a record", "details"),
    Action("audit.go", ("g",), "Go to the instant of the selected record",
           AUDIT, _AUDIT, "go_to_event", _FOOTER, "go to instant"),
    Action("audit.filter", ("slash",), "Filter records by actor, operation or text",
           AUDIT, _AUDIT, "filter", _FOOTER, "filter"),
    Action("audit.order", ("o",), "Newest first, or oldest first",
           AUDIT, _AUDIT, "order", _FOOTER, "order"),
    Action("host.details", ("enter",), "Details of the selected process",
           HOST, _HOST, "details", "double click a process", "details"),
    Action("host.filter", ("slash",), "Filter processes",
           HOST, _HOST, "filter", _FOOTER, "filter"),
    Action("host.tree", ("T",), "Processes as a tree, or as a list",
           HOST, _HOST, "tree", _FOOTER, "tree"),
    Action("host.sort_previous", ("less_than_sign",), "Sort by the column to the left",
           HOST, _HOST, "sort_next(-1)", "click a column's head", "sort"),
    Action("host.sort_next", ("greater_than_sign",), "Sort by the column to the right",
           HOST, _HOST, "sort_next(1)", "click a column's head", "sort"),
    Action("host.sort_cpu", ("C",), "Processes by CPU",
           HOST, _HOST, "sort_by('cpu')", "click the head CPU%"),
    Action("host.sort_memory", ("M",), "Processes by memory",
           HOST, _HOST, "sort_by('memory')", "click the head RSS"),
    Action("host.sort_io", ("I",), "Processes by what they read and write",
           HOST, _HOST, "sort_by('io')", "click the heads R and W"),
    Action("host.sort_pid", ("P",), "Processes by process id",
           HOST, _HOST, "sort_by('pid')", "click the head PID"),
    Action("host.who", ("w",), "Who did this? Point at a chart with the arrows",
           HOST, _HOST, "who", "point at a chart", "who did this"),
    Action("host.panels", ("p",), "More panels, where not all fit",
           HOST, _HOST, "panels(1)", "enlarge the window", "panels"),
    *(
        Action(f"host.enlarge.{number}", (str(number),), f"Enlarge the {name} panel, or all again",
               HOST, _HOST, f"enlarge({number})", "click its title")
        for number, name in enumerate(PANELS, start=1)
    ),
    Action("time.back", ("left_square_bracket",), "One step into the past",
           TIME, SCREENS, "step(-1)", "click the time bar", "step"),
    Action("time.forward", ("right_square_bracket",), "One step towards the present",
           TIME, SCREENS, "step(1)", "click the time bar", "step"),
    Action("time.far_back", ("left_parenthesis",), "Ten steps into the past",
           TIME, SCREENS, "step(-10)", "click the time bar"),
    Action("time.far_forward", ("right_parenthesis",), "Ten steps towards the present",
           TIME, SCREENS, "step(10)", "click the time bar"),
    Action("time.wider", ("minus",), "Show more time in the time bar",
           TIME, SCREENS, "zoom(1)", "wheel down over the time bar", "zoom"),
    Action("time.closer", ("plus", "equals_sign"), "Show less time, in more detail",
           TIME, SCREENS, "zoom(-1)", "wheel up over the time bar", "zoom"),
    Action("time.jump", ("t",), "Jump to a time: 14:30, 3m ago, yesterday 03:00",
           TIME, SCREENS, "jump", _FOOTER, "jump to…"),
    Action("time.play", ("space",), "Pause, or play the past",
           TIME, SCREENS, "play", _FOOTER, "play"),
    Action("time.slower", ("comma",), "Play slower: 60× down to 1×",
           TIME, SCREENS, "speed(-1)", _FOOTER, "speed"),
    Action("time.faster", ("full_stop",), "Play faster: 1× up to 60×",
           TIME, SCREENS, "speed(1)", _FOOTER, "speed"),
    Action("time.live", ("l",), "Back to live",
           TIME, SCREENS, "live", "click the state in the header", "live"),
    Action("time.event_before", ("left_curly_bracket",), "The event before this instant",
           TIME, SCREENS, "event(-1)", "click a mark of the time bar", "event"),
    Action("time.event_after", ("right_curly_bracket",), "The next event",
           TIME, SCREENS, "event(1)", "click a mark of the time bar", "event"),
    Action("screens.events", ("e",), "Events of the fleet",
           GENERAL, SCREENS - {Place.EVENTS}, "app.show_events", _FOOTER, "events"),
    Action("screens.audit", ("a",), "Audit trail: who did what",
           GENERAL, SCREENS - {Place.AUDIT}, "app.show_audit", "choose it in the palette"),
    Action("screens.fleet", ("f",), "Fleet: all hosts",
           GENERAL, SCREENS - {Place.FLEET}, "app.show_fleet", _FOOTER, "fleet"),
    Action("app.palette", ("colon", "ctrl+p"), "Go to a host, run an action",
           GENERAL, _ANY, "app.command_palette", "click : in the header"),
    Action("app.help", ("question_mark", "f1"), "All keys",
           GENERAL, _ANY, "app.help", "click ? in the header"),
    Action("app.theme", ("ctrl+t",), "Next theme: dark, light, high contrast",
           GENERAL, _ANY, "app.next_theme", "choose one in the palette"),
    Action("app.retry", ("ctrl+r",), "Connect again now",
           GENERAL, _ANY, "app.retry", "click the state when stale"),
    Action("app.log_in", ("ctrl+l",), "Log in, or as somebody else",
           GENERAL, _ANY, "app.log_in", "choose it in the palette"),
    Action("app.log_out", ("ctrl+o",), "Log out",
           GENERAL, _ANY, "app.log_out", "choose it in the palette"),
    Action("app.back", ("escape",), "Go back",
           GENERAL, _ANY, "app.back", "click the name in the header"),
    Action("app.quit", ("q", "ctrl+c"), "Quit",
           GENERAL, _ANY, "app.quit", _FOOTER, "quit"),
    Action("list.move", ("up", "down"), "Select the row above or below",
           LISTS, SCREENS, "", "click a row"),
    Action("list.page", ("pageup", "pagedown"), "One page up or down",
           LISTS, SCREENS, "", "drag the scrollbar"),
    Action("list.edge", ("home", "end"), "First or last row",
           LISTS, SCREENS, "", "drag the scrollbar"),
)
# fmt: on

_SYMBOLS = {
    "slash": "/", "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{",
    "right_curly_bracket": "}", "minus": "-", "plus": "+", "equals_sign": "=", "colon": ":", "question_mark": "?",
    "less_than_sign": "<", "greater_than_sign": ">", "escape": "esc", "pageup": "pgup", "pagedown": "pgdn",
    "up": "↑", "down": "↓", "left_parenthesis": "(", "right_parenthesis": ")", "comma": ",", "full_stop": ".",
}  # fmt: skip


def key_label(key: str) -> str:
    """A key as it stands on the keyboard: `left_square_bracket` is `[`."""
    return _SYMBOLS.get(key, key)


def actions_of(place: Place) -> list[Action]:
    """What can be done on a screen, the general actions included."""
    return [one for one in ACTIONS if place in one.places or Place.EVERYWHERE in one.places]


def bindings_of(place: Place) -> list[BindingType]:
    """The key bindings of a screen (or, for EVERYWHERE, of the app)."""
    # Ctrl+C must end the program also while a text field would copy with it.
    return [
        Binding(key, one.handler, one.title, show=False, priority=key == "ctrl+c")
        for one in ACTIONS
        if place in one.places and one.handler
        for key in one.keys
    ]


_PAST_ORDER = {word: place for place, word in enumerate(("play", "speed", "step", "event", "live", "jump to…", "zoom"))}


def footer_of(place: Place, *, past: bool = False) -> list[tuple[str, str, list[Action]]]:
    """The footer of a screen: (keys, word, the actions it stands for). In the past its own actions come first."""
    groups: list[tuple[str, list[Action]]] = []
    actions = actions_of(place)
    if past:
        actions.sort(key=lambda one: _PAST_ORDER.get(one.label, len(_PAST_ORDER)))
    for one in actions:
        if not one.label:
            continue
        if groups and groups[-1][0] == one.label:
            groups[-1][1].append(one)
        else:
            groups.append((one.label, [one]))
    return [(" ".join(key_label(one.keys[0]) for one in members), label, members) for label, members in groups]


def grouped(actions: Iterable[Action]) -> dict[str, list[Action]]:
    """Actions by their help group, in the order of the table."""
    found: dict[str, list[Action]] = {}
    for one in actions:
        found.setdefault(one.group, []).append(one)
    return found
