"""Whether what is shown is live: one small state for the connection, and the words that the header says about it."""

from __future__ import annotations

from enum import StrEnum

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError, UnauthenticatedError
from cybercorp.security.display import safe_text
from cybercorp.tui.state.instant import InstantModel, describe_instant
from cybercorp.tui.state.lines import Line, Run, Tone

SILENT_AFTER_S = 5.0


class Phase(StrEnum):
    """Where the connection stands. `lost` was open once in this session, `failed` never."""

    CONNECTING = "connecting"
    OPEN = "open"
    LOST = "lost"
    FAILED = "failed"


class Mood(StrEnum):
    """What the header's colour says."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    REPLAY = "replay"


class ConnectionModel:
    """The connection to the server. Ages and countdowns use the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.phase = Phase.CONNECTING
        self.reason = ""
        self.hint = ""
        self.code = ""
        self._retry_at: float | None = None
        self._heard_at: float | None = None
        self.expects_updates = False

    def opened(self) -> None:
        """The socket is open."""
        self.phase = Phase.OPEN
        self.reason = self.hint = self.code = ""
        self._retry_at = None
        self._heard_at = self._clock.monotonic()

    def lost(self, reason: str, retry_in_s: float | None, code: str = "") -> None:
        """The socket closed, or did not open."""
        self.phase = Phase.FAILED if self._heard_at is None else Phase.LOST
        self.reason, self.hint, self.code = safe_text(reason, 300), "", code
        self._retry_at = None if retry_in_s is None else self._clock.monotonic() + retry_in_s

    def fail(self, error: CyberCorpError, retry_in_s: float | None = None) -> None:
        """There is not even a server to try."""
        self.lost(error.message, retry_in_s, error.error_code)
        self.hint = safe_text(error.hint, 300)

    def heard(self) -> None:
        """Something came from the server."""
        self._heard_at = self._clock.monotonic()

    @property
    def is_open(self) -> bool:
        return self.phase is Phase.OPEN

    @property
    def is_refused(self) -> bool:
        """Whether the server is there, and wants a log-in first."""
        return self.code == UnauthenticatedError.code

    def stale_s(self) -> int | None:
        """How long the picture has been old: None while it is fresh, or before there was one."""
        if self._heard_at is None or self.phase is Phase.CONNECTING:
            return None
        silent = self._clock.monotonic() - self._heard_at
        if self.phase is Phase.LOST or (self.expects_updates and silent >= SILENT_AFTER_S):
            return int(silent)
        return None

    def retry_s(self) -> int | None:
        """Whole seconds until the next try; 0 while it is tried, None when none is planned."""
        if self._retry_at is None:
            return None
        return max(round(self._retry_at - self._clock.monotonic()), 0)

    def trouble(self) -> str:
        """What happens next and why the picture is old, in one line that may be cut; empty while all is well."""
        if self.phase in (Phase.LOST, Phase.FAILED):
            retry = self.retry_s()
            when = "" if retry is None else "Trying again now: " if retry == 0 else f"Trying again in {retry} s: "
            return f"{when}{self.reason}"
        if self.stale_s() is not None:
            return "The server is silent: the connection is open, and nothing comes."
        return ""


def mood_of(connection: ConnectionModel, instant: InstantModel, *, silent_s: int | None = None) -> Mood:
    """What the header shows. `silent_s` is how long the screen's own subject (a host) has been silent."""
    if not instant.is_live:
        return Mood.REPLAY
    if connection.stale_s() is not None or silent_s is not None:
        return Mood.STALE
    return Mood.LIVE if connection.is_open else Mood.CONNECTING


def badge(connection: ConnectionModel, instant: InstantModel, *, silent_s: int | None = None) -> Line:
    """`● LIVE`, `◌ STALE 14 s`, `◀ 13:41:07`, `▶ 30× 13:41:07`, `REC ◀ 13:41:07` (a recording) or `◌ CONNECTING`."""
    stale = connection.stale_s()
    mood = mood_of(connection, instant, silent_s=silent_s)
    if mood is Mood.REPLAY and instant.at_ms is not None:
        when = describe_instant(instant.at_ms, instant.now_ms())
        mark = f"▶ {instant.speed}× " if instant.playing else "◀ "
        away = [] if stale is None and connection.is_open else [Run(" ◌", Tone.ERROR)]
        recorded = [] if instant.recorded is None else [Run("REC ", Tone.ACCENT)]
        return [*recorded, Run(f"{mark}{when}", Tone.TITLE), *away]
    if mood is Mood.STALE:
        return [Run(f"◌ STALE {format_short_age(max(stale or 0, silent_s or 0))}", Tone.TITLE)]
    if mood is Mood.LIVE:
        return [Run("●", Tone.GOOD), Run(" LIVE", Tone.TITLE)]
    if connection.phase is Phase.CONNECTING:
        return [Run("◌ CONNECTING", Tone.TITLE)]
    return [Run("✖ NO ACCESS" if connection.is_refused else "✖ NO SERVER", Tone.TITLE)]


def format_short_age(seconds: int) -> str:
    """`14 s`, `3 min`, `2 h 5 min`: an age that grows while one looks at it."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
