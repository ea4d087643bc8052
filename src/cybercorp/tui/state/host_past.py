"""The history of one host around past instants, kept, so that stepping and playing ask only for what is new."""

from __future__ import annotations

from cybercorp.protocol.metrics import QueryAnswer, series_key
from cybercorp.tui.state.host_tracks import WINDOW_MS, Track

STEP_MS = 1000
_KEEP_MS = 3_600_000


class PastTracks:
    """Tracks by series over one span of time without holes; another part of the past begins anew."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}
        self._known: tuple[int, int] | None = None

    def clear(self) -> None:
        """Forget everything: what was read may have been filled up since."""
        self._tracks.clear()
        self._known = None

    def missing(self, at_ms: int, ahead_ms: int = 0) -> tuple[int, int] | None:
        """The span [since, until) to ask for to show an instant; None where all is here.

        `ahead_ms` is what the next pictures will need: it is asked for along with what this one lacks.
        """
        start, end = _needed(at_ms)
        ahead = ahead_ms // STEP_MS * STEP_MS
        if self._known is not None:
            low, high = self._known
            if low <= start and end <= high:
                return None
            if low <= start <= high:
                return high, end + ahead
            if low <= end <= high:
                return start - ahead, low
        return start, end + ahead

    def fill(self, answer: QueryAnswer, since_ms: int, until_ms: int) -> None:
        """Take over the answer to what was missing."""
        known = self._known
        if known is None or since_ms > known[1] or until_ms < known[0] or known[1] - known[0] > _KEEP_MS:
            self._tracks.clear()
            known = (since_ms, until_ms)
        self._known = (min(since_ms, known[0]), max(until_ms, known[1]))
        for one in answer.series:
            points = ((answer.start_ms + index * answer.step_ms, value) for index, value in enumerate(one.values))
            key = series_key(one.name, one.attributes)
            self._tracks.setdefault(key, Track()).fill(points, step_ms=answer.step_ms)

    def at(self, at_ms: int) -> dict[str, Track]:
        """The five minutes before an instant, and nothing that came after it."""
        start, _ = _needed(at_ms)
        return {key: cut for key, track in self._tracks.items() if len(cut := track.between(start, at_ms))}


def _needed(at_ms: int) -> tuple[int, int]:
    last = at_ms - at_ms % STEP_MS
    return last - WINDOW_MS, last + STEP_MS
