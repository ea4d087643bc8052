"""The instant: live or past, stepping, zooming, jumping, playing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import TimeExpressionError
from cybercorp.tui.state.instant import SPEEDS, ZOOMS, InstantModel, describe_instant

NOW = 1_800_000_000_000


def model() -> tuple[InstantModel, ManualClock]:
    clock = ManualClock(now_ms=NOW)
    return InstantModel(clock), clock


def test_starts_live_with_a_window_that_ends_now() -> None:
    """Until somebody looks back, the window is the half hour up to now, and it moves with the clock."""
    instant, clock = model()
    assert instant.is_live
    assert instant.window() == (NOW - 1_800_000, NOW)
    clock.advance(60)
    assert instant.window() == (NOW - 1_740_000, NOW + 60_000)


def test_a_step_back_lands_on_a_whole_step_and_freezes_the_window() -> None:
    """The first step leaves live for the last whole step of the clock; the window stands still from then on."""
    instant, clock = model()
    clock.advance(7)
    assert instant.step(-1)
    assert instant.at_ms == NOW
    before = instant.window()
    clock.advance(600)
    assert instant.window() == before


def test_stepping_forward_past_now_is_live_again() -> None:
    """What has not come yet cannot be shown: stepping there is going live."""
    instant, _ = model()
    instant.step(-2)
    instant.step(1)
    assert not instant.is_live
    instant.step(50)
    assert instant.is_live


def test_a_step_forward_while_live_does_nothing() -> None:
    """The present is the end of the line."""
    instant, _ = model()
    assert not instant.step(1)
    assert instant.is_live


def test_heavy_steps_are_ten_times_as_long() -> None:
    """`(` goes ten steps."""
    instant, _ = model()
    instant.step(-1)
    first = instant.at_ms
    instant.step(-1, heavy=True)
    assert first is not None
    assert instant.at_ms == first - 10 * instant.zoom_level.step_ms


def test_the_cursor_never_leaves_the_window() -> None:
    """The window follows the cursor when it walks out of it, and never shows the future."""
    instant, _ = model()
    for _ in range(200):
        instant.step(-1)
        start, end = instant.window()
        assert instant.at_ms is not None
        assert start <= instant.at_ms <= end <= instant.now_ms()


def test_zooming_keeps_the_cursor_in_the_window_at_every_level() -> None:
    """All levels up and down show the same instant."""
    instant, _ = model()
    instant.go(NOW - 900_000)
    for levels in (1,) * len(ZOOMS) + (-1,) * 2 * len(ZOOMS):
        instant.zoom(levels)
        start, end = instant.window()
        assert instant.at_ms == NOW - 900_000
        assert start <= NOW - 900_000 <= end <= instant.now_ms()
    assert not instant.zoom(-1)


@pytest.mark.parametrize(("text", "expected"), [("3m ago", NOW - 180_000), ("2h", NOW - 7_200_000), ("now", None)])
def test_jumps_to_what_a_person_writes(text: str, expected: int | None) -> None:
    """Time expressions are those of the command line; `now` is live."""
    instant, _ = model()
    instant.step(-1)
    instant.jump(text)
    assert instant.at_ms == expected


@pytest.mark.parametrize("text", ["2099-01-01", "soon", "1901-01-01"])
def test_a_jump_that_means_nothing_says_so_and_changes_nothing(text: str) -> None:
    """The future, nonsense and the time before 1970 are refused with a hint."""
    instant, _ = model()
    instant.go(NOW - 60_000)
    with pytest.raises(TimeExpressionError) as caught:
        instant.jump(text)
    assert caught.value.hint
    assert instant.at_ms == NOW - 60_000


def test_space_pauses_the_present_and_plays_the_past() -> None:
    """Pausing live stands still just before now; playing goes towards the present and ends live."""
    instant, clock = model()
    assert instant.toggle_play()
    assert not instant.is_live
    instant.go(NOW - 30_000)
    instant.toggle_play()
    assert instant.playing
    assert instant.advance(1.0)
    assert instant.at_ms == NOW - 20_000
    clock.advance(1)
    for _ in range(3):
        instant.advance(1.0)
    assert (instant.is_live, instant.playing) == (True, False)


def test_playing_slowly_adds_up() -> None:
    """Parts of a second are not lost, at any speed and in any window."""
    instant, _ = model()
    instant.go(NOW - 90_000)
    while instant.change_speed(-1):
        pass
    assert instant.speed == 1
    instant.zoom(3)
    instant.toggle_play()
    for _ in range(25):
        instant.advance(0.2)
    assert instant.at_ms == NOW - 85_000


def test_the_speed_goes_from_1_to_60() -> None:
    """Faster and slower stop at the ends and say whether they did something."""
    instant, _ = model()
    while instant.change_speed(1):
        pass
    assert instant.speed == 60
    seen = [instant.speed]
    while instant.change_speed(-1):
        seen.append(instant.speed)
    assert tuple(seen) == SPEEDS[::-1]


def recorded() -> InstantModel:
    """Of a recording of twenty minutes, made long before."""
    return InstantModel(ManualClock(NOW), recorded=(NOW - 9_000_000, NOW - 7_800_000))


def test_a_recording_is_never_live() -> None:
    """It begins at its first instant, ends at its last, and no key leads out of it."""
    instant = recorded()
    assert instant.at_ms == NOW - 9_000_000
    ways: list[Callable[[], bool]] = [
        lambda: instant.go(None),
        lambda: instant.go(NOW),
        lambda: instant.step(500, heavy=True),
        lambda: instant.jump("now"),
    ]
    for act in ways:
        instant.go(NOW - 8_000_000)
        act()
        assert (instant.is_live, instant.at_ms) == (False, NOW - 7_800_000)
    instant.step(-500, heavy=True)
    assert instant.at_ms == NOW - 9_000_000
    with pytest.raises(TimeExpressionError, match="before the recording"):
        instant.jump("2h")
    start, end = instant.window()
    assert (start <= NOW - 9_000_000, end) == (True, NOW - 7_800_000)


def test_a_recording_plays_to_its_end_and_then_anew() -> None:
    """At its end it stands still; play begins at its first instant again."""
    instant = recorded()
    instant.go(None)
    instant.step(-1)
    instant.toggle_play()
    while instant.playing:
        assert instant.advance(1.0)
    assert instant.at_ms == NOW - 7_800_000
    assert instant.toggle_play()
    assert (instant.at_ms, instant.playing) == (NOW - 9_000_000, True)


def test_the_servers_clock_rules_when_it_differs() -> None:
    """Seconds of delay are ignored, a clock that is minutes off is believed."""
    instant, _ = model()
    instant.hear_clock(NOW - 900)
    assert instant.now_ms() == NOW
    instant.hear_clock(NOW - 300_000)
    assert instant.now_ms() == NOW - 300_000
    instant.hear_clock(NOW - 300_700)
    assert instant.now_ms() == NOW - 300_000


def test_instants_are_told_with_the_date_they_need() -> None:
    """Today's need none, this year's the day, others the year."""
    assert len(describe_instant(NOW, NOW)) == 8
    assert " " in describe_instant(NOW - 3 * 86_400_000, NOW)
    assert describe_instant(NOW - 800 * 86_400_000, NOW).startswith("20")
