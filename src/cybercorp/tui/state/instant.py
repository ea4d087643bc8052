"""The instant that every screen shows, and the window of time that the time bar draws around it.

The contract of every screen: what it shows is a function of (selection, instant). There is one `InstantModel` for the
whole dashboard. `at_ms` None means live; else it is a past moment as Unix milliseconds by the server's clock. A screen
never reads a clock to decide what to show: it draws what `DashboardScreen.show_instant(at_ms)` told it last.

A recording has no present: its last instant stands where the present would be, and it is never live.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from cybercorp.core.clock import Clock
from cybercorp.core.errors import TimeExpressionError
from cybercorp.core.times import format_duration_ms, parse_time_ms

_S, _M, _H, _D = 1000, 60_000, 3_600_000, 86_400_000
_NOTICED_OFFSET_MS = 2_000
_MARGIN = 8  # the cursor keeps this fraction of the window (1/8) before its edges
_HEAVY_STEP = 10


class Zoom(NamedTuple):
    """A length of the window, and how far one step of `[` or `]` goes in it."""

    window_ms: int
    step_ms: int


ZOOMS = (
    Zoom(5 * _M, 5 * _S),
    Zoom(15 * _M, 15 * _S),
    Zoom(30 * _M, 30 * _S),
    Zoom(_H, _M),
    Zoom(3 * _H, 3 * _M),
    Zoom(6 * _H, 6 * _M),
    Zoom(12 * _H, 10 * _M),
    Zoom(_D, 20 * _M),
    Zoom(3 * _D, _H),
    Zoom(7 * _D, 2 * _H),
    Zoom(14 * _D, 4 * _H),
)
DEFAULT_ZOOM = 2
SPEEDS = (1, 2, 5, 10, 30, 60)
_DEFAULT_SPEED = 3


class InstantModel:
    """Live, or at a past instant; how much time around it is drawn; whether it plays, and how fast.

    `recorded` are the first and the last instant of a recording.
    """

    def __init__(self, clock: Clock, *, recorded: tuple[int, int] | None = None) -> None:
        self._clock = clock
        self.recorded = recorded
        self._offset_ms = 0
        self._zoom = DEFAULT_ZOOM if recorded is None else _zoom_of(recorded[1] - recorded[0])
        self._end_ms: int | None = None  # None: the window ends now
        self._played_ms = 0.0
        self._speed = _DEFAULT_SPEED
        self.at_ms: int | None = None if recorded is None else recorded[0]
        self.playing = False

    @property
    def is_live(self) -> bool:
        """Whether the present is shown."""
        return self.at_ms is None

    @property
    def zoom_level(self) -> Zoom:
        """The present zoom."""
        return ZOOMS[self._zoom]

    @property
    def window_name(self) -> str:
        """The length of the window for people: `30m`."""
        return format_duration_ms(self.zoom_level.window_ms)

    @property
    def speed(self) -> int:
        """How many seconds of the past one second of playing shows."""
        return SPEEDS[self._speed]

    def now_ms(self) -> int:
        """The present by the server's clock, as far as it is known; of a recording its last instant."""
        if self.recorded is not None:
            return self.recorded[1]
        return self._clock.now_ms() + self._offset_ms

    def hear_clock(self, server_ms: int) -> None:
        """The server's clock was heard; a difference of the two machines is kept, the delay of a message is not."""
        offset = server_ms - self._clock.now_ms()
        if abs(offset) < _NOTICED_OFFSET_MS:
            self._offset_ms = 0
        elif abs(offset - self._offset_ms) >= _NOTICED_OFFSET_MS:
            self._offset_ms = offset

    def window(self) -> tuple[int, int]:
        """Start and end of the window in milliseconds."""
        end = self.now_ms() if self._end_ms is None else self._end_ms
        return end - self.zoom_level.window_ms, end

    def go(self, at_ms: int | None) -> bool:
        """Show this instant, or the present (None, or what has not come yet). True when that is a change.

        Of a recording the nearest instant that it has.
        """
        if self.recorded is not None:
            first, last = self.recorded
            at_ms = last if at_ms is None else min(max(at_ms, first), last)
            changed = at_ms != self.at_ms
            self.at_ms = at_ms
            self._end_ms = last if self._end_ms is None else self._end_ms
            self._follow_cursor()
            return changed
        if at_ms is None or at_ms >= self.now_ms():
            changed = self.at_ms is not None
            self.at_ms = None
            self._end_ms = None
            self.playing = False
            return changed
        if self._end_ms is None:
            self._end_ms = self.now_ms()
        changed = at_ms != self.at_ms
        self.at_ms = max(at_ms, 0)
        self._follow_cursor()
        return changed

    def step(self, steps: int, *, heavy: bool = False) -> bool:
        """Go some steps into the past (negative) or towards the present; `heavy` steps are ten times as long."""
        step_ms = self.zoom_level.step_ms * (_HEAVY_STEP if heavy else 1)
        if self.at_ms is None:
            if steps >= 0:
                return False
            origin = self.now_ms()
            # Whole steps of the clock: the instants that are shown are the ones that a person would name.
            return self.go((origin - 1) // step_ms * step_ms + (steps + 1) * step_ms)
        return self.go(self.at_ms + steps * step_ms)

    def zoom(self, levels: int) -> bool:
        """Show less time (negative) or more; the cursor stays where it is in the window."""
        wanted = min(max(self._zoom + levels, 0), len(ZOOMS) - 1)
        if wanted == self._zoom:
            return False
        start, end = self.window()
        self._zoom = wanted
        if self.at_ms is not None:
            share = min(max((end - self.at_ms) / max(end - start, 1), 0.0), 1.0)
            self._end_ms = min(self.at_ms + round(share * self.zoom_level.window_ms), self.now_ms())
            self._follow_cursor()
        return True

    def jump(self, text: str) -> bool:
        """Show the instant that a person wrote (`3m ago`, `14:30`, `yesterday 03:00`, `now`).

        Raises TimeExpressionError for what is no time or lies in the future.
        """
        now = self.now_ms()
        at_ms = parse_time_ms(text, now_ms=now)
        if at_ms > now + 1000:
            raise TimeExpressionError(
                f"{describe_instant(at_ms, now)} has not come yet.", hint="Name a moment in the past, or 'now'."
            )
        if at_ms < 0:
            raise TimeExpressionError(f"'{text}' lies before 1970.", hint="Name a later moment.")
        if self.recorded is not None and at_ms < self.recorded[0]:
            first, last = (describe_instant(one, now) for one in self.recorded)
            raise TimeExpressionError(
                f"{describe_instant(at_ms, now)} is before the recording.", hint=f"It goes from {first} to {last}."
            )
        return self.go(None if at_ms >= now - 500 else at_ms)

    def toggle_play(self) -> bool:
        """Pause the present, or let the past run towards it. True when the instant changed.

        At the end of a recording it begins anew.
        """
        if self.at_ms is None:
            return self.go(self.now_ms() - 1)
        self.playing = not self.playing
        self._played_ms = 0.0
        if self.playing and self.recorded is not None and self.at_ms >= self.recorded[1]:
            return self.go(self.recorded[0])
        return False

    def change_speed(self, steps: int) -> bool:
        """Play faster or slower (negative): 1× to 60×. True on a change."""
        wanted = min(max(self._speed + steps, 0), len(SPEEDS) - 1)
        changed = wanted != self._speed
        self._speed = wanted
        return changed

    def advance(self, elapsed_s: float) -> bool:
        """Let this much time pass while playing, in whole seconds of the past. True on a change.

        It becomes live when it reaches the present; a recording stops at its end.
        """
        if not self.playing or self.at_ms is None:
            return False
        self._played_ms += elapsed_s * 1000 * self.speed
        whole = int(self._played_ms) // 1000 * 1000
        if not whole:
            return False
        self._played_ms -= whole
        changed = self.go(self.at_ms + whole)
        if self.recorded is not None and self.at_ms is not None and self.at_ms >= self.recorded[1]:
            self.playing = False
            changed = True
        return changed

    def _follow_cursor(self) -> None:
        """Move the window so that the cursor stays inside, never beyond the present."""
        if self.at_ms is None or self._end_ms is None:
            return
        window = self.zoom_level.window_ms
        margin = window // _MARGIN
        if self.at_ms < self._end_ms - window:
            self._end_ms = self.at_ms + window - margin
        elif self.at_ms > self._end_ms:
            self._end_ms = self.at_ms + margin
        self._end_ms = min(self._end_ms, self.now_ms())


def _zoom_of(span_ms: int) -> int:
    """The least zoom that shows a whole recording."""
    return next((place for place, zoom in enumerate(ZOOMS) if zoom.window_ms >= span_ms), len(ZOOMS) - 1)


def describe_instant(at_ms: int, now_ms: int) -> str:
    """An instant in local time: `13:41:07`, with its date when that is not today's, `Nov 21 13:41:07`."""
    moment, now = (dt.datetime.fromtimestamp(one / 1000).astimezone() for one in (at_ms, now_ms))
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%b} {moment.day} {moment:%H:%M:%S}" if moment.year == now.year else f"{moment:%Y-%m-%d %H:%M:%S}"
