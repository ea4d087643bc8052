"""Where the intervals of a range come from: hour chunks, minute chunks, and rows for what they do not know.

Each period of a host is taken from the coarsest tier whose rollup knows every block of it. A period with newer rows is
read from the finer tier instead; where only the newer rows are left (the others were dropped by retention) they are
added to the rollup.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.chunks import SAMPLES, DamagedChunkError
from cybercorp.store.timeseries.encoding.rollup_chunks import RollupReader
from cybercorp.store.timeseries.index import MINUTE_MS, period_of, period_start
from cybercorp.store.timeseries.reading.aggregations import LOOKBACK_MS
from cybercorp.store.timeseries.reading.intervals import Flags, Intervals, no_intervals, roll_up
from cybercorp.store.timeseries.reading.pictures import slices_of, take_picture
from cybercorp.store.timeseries.reading.row_matrix import ColumnsOf, RowMatrix, read_rows
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES, RollupSet, covering, periods_of, sets_of
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError

HOUR_MS = 3_600_000
STEPS = {MINUTES: MINUTE_MS, HOURS: HOUR_MS}
_UNSEALED = 1 << 62

Range = tuple[int, int]


class View(NamedTuple):
    """What was known of a host at one moment, for whole periods around a range."""

    host: int
    entries: list[ChunkEntry]
    head: list[HeadRow]
    minutes: dict[int, RollupSet]
    hours: dict[int, RollupSet]
    newest: dict[int, int]  # of a period: the greatest block number
    oldest: dict[int, int]  # of a period: the least

    def rolled_up_to(self, entry: ChunkEntry) -> int:
        """The newest block that a rollup of the chunk's period knows."""
        period = period_of(self.host, entry.start_ms)
        return max(_last_of(best.get(period)) for best in (self.minutes, self.hours))

    def catalogues(self, start_ms: int = 0, end_ms: int = _UNSEALED) -> list[int]:
        """The numbers of the catalogues of a range, those of the newest blocks last."""
        entries = list(self.entries)
        for best in (self.hours, self.minutes):
            entries += [entry for one in set(best.values()) for entry in one.entries]
        found = {(one.last, one.catalogue) for one in entries if one.start_ms < end_ms and one.end_ms >= start_ms}
        numbers = [number for _, number in sorted(found)]
        numbers += [row.catalogue for row in self.head if start_ms <= row.timestamp_ms < end_ms]
        return list(dict.fromkeys(reversed(numbers)))[::-1]


def take_view(state: State, host: int, kind: int, start_ms: int, end_ms: int, *, unsealed: bool = True) -> View:
    """What may matter for `[start_ms, end_ms)`; hour chunks only for the kind HOURS. Raises ChunkGoneError."""
    low, high = period_of(host, start_ms), period_of(host, end_ms - 1)
    from_ms, to_ms = period_start(host, low), period_start(host, high + 1)
    with state.lock:  # first the rollups: what is read later may be newer, never older
        known = state.hosts.get(host)
        minutes = known.minutes.between(from_ms, to_ms) if known else []
        hours = known.hours.between(from_ms, to_ms) if known and kind == HOURS else []
        if state.suspects:
            minutes, hours = (_trustworthy(entries, state.suspects) for entries in (minutes, hours))
    picture = take_picture(state, host, SAMPLES, from_ms - LOOKBACK_MS, to_ms)
    head = picture.head if unsealed else []
    newest: dict[int, int] = {}
    oldest: dict[int, int] = {}
    for entry in picture.entries:
        for period in range(period_of(host, entry.start_ms), period_of(host, entry.end_ms) + 1):
            newest[period] = max(newest.get(period, 0), entry.last)
            oldest[period] = min(oldest.get(period, _UNSEALED), entry.first)
    for row in head:
        period = period_of(host, row.timestamp_ms)
        newest[period] = _UNSEALED
        oldest.setdefault(period, _UNSEALED)
    return View(host, picture.entries, head, covering(host, minutes), covering(host, hours), newest, oldest)


def _trustworthy(entries: Sequence[ChunkEntry], suspects: Container[int]) -> list[ChunkEntry]:
    """Without the sets of which a chunk was found damaged: what they tell is read from finer history."""
    bad = {one[:3] for one in sets_of(entries) if any(entry.id in suspects for entry in one.entries)}
    return [entry for one in sets_of(entries) if one[:3] not in bad for entry in one.entries]


def read_intervals(
    session: Session,
    state: State,
    view: View,
    kind: int,
    columns_of: ColumnsOf,
    keys: Sequence[str],
    counters: Flags,
    wanted: Range,
) -> list[Intervals]:
    """Parts that make up the range together, of disjoint rows; some are minutes although hours are wanted.

    Damaged rows are noted and left out; a damaged rollup is noted, and the next attempt does without it. Raises
    ChunkGoneError, StorageError.
    """
    places = {key: place for place, key in enumerate(keys)}
    parts: list[Intervals] = []
    ranges: list[Range] = [wanted]
    rows: list[Range] = []
    for tier in (HOURS, MINUTES):
        if tier <= kind:
            served, ranges, extra = _serve(view, tier, ranges)
            rows += extra
            found = (_read_set(session, state, one, tier, columns_of, places, use) for one, use in served)
            parts.extend(part for part in found if part is not None)
    for start_ms, end_ms in _merged(ranges + rows):
        parts.append(_from_rows(session, state, view, columns_of, places, counters, start_ms, end_ms))
    return parts or [no_intervals(len(keys))]


def _serve(
    view: View, tier: int, ranges: Sequence[Range]
) -> tuple[list[tuple[RollupSet, list[Range]]], list[Range], list[Range]]:
    """What sets of a tier give of the ranges, what is left to the finer tier, and what rows add to the sets."""
    best = view.hours if tier == HOURS else view.minutes
    fresh: dict[int, RollupSet] = {}
    added: set[int] = set()
    for period, one in best.items():
        newer = max(view.newest.get(period, 0), _last_of(view.minutes.get(period)))
        if newer <= one.last:
            fresh[period] = one
        elif view.oldest.get(period, _UNSEALED) > one.last and (tier == MINUTES or period not in view.minutes):
            fresh[period] = one
            added.add(period)
    used: dict[tuple[int, int, int], tuple[RollupSet, list[Range]]] = {}
    left: list[Range] = []
    extra: list[Range] = []
    for start, end in ranges:
        at = start
        for period in sorted(period for period in fresh if start < _end(view, period) and _start(view, period) < end):
            one = fresh[period]
            low, high = _trusted(view, fresh, period, STEPS[tier])
            first, last = _whole(one, start, end, STEPS[tier])
            low, high = max(low, first), min(high, last)
            if low >= high:
                continue
            if at < low:
                left.append((at, low))
            used.setdefault(one[:3], (one, []))[1].append((low, high))
            if period in added:
                extra.append((low, high))
            at = high
        if at < end:
            left.append((at, end))
    return [(one, _merged(use)) for one, use in used.values()], _merged(left), extra


def _trusted(view: View, fresh: Mapping[int, RollupSet], period: int, step_ms: int) -> Range:
    """The part of a period whose intervals have no rows of a neighbour that the same set got wrong."""
    one = fresh[period]
    covered = periods_of(view.host, one)
    low, high = _start(view, period), _end(view, period)
    if period - 1 in covered and not _same(fresh.get(period - 1), one):
        low = -(-low // step_ms) * step_ms
    if period + 1 in covered and not _same(fresh.get(period + 1), one):
        high = high // step_ms * step_ms
    return low, high


def _whole(one: RollupSet, start_ms: int, end_ms: int, step_ms: int) -> Range:
    """The part of a range whose intervals have no rows of the set from outside of it."""
    if one.start_ms < start_ms:
        start_ms = -(-start_ms // step_ms) * step_ms
    if one.start_ms + one.length_ms >= end_ms:
        end_ms = end_ms // step_ms * step_ms
    return start_ms, end_ms


def _same(one: RollupSet | None, other: RollupSet) -> bool:
    return one is not None and one[:3] == other[:3]


def _last_of(one: RollupSet | None) -> int:
    return one.last if one else 0


def _start(view: View, period: int) -> int:
    return period_start(view.host, period)


def _end(view: View, period: int) -> int:
    return period_start(view.host, period + 1)


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """Ranges in order, neighbours and overlapping ones as one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _read_set(
    session: Session,
    state: State,
    one: RollupSet,
    tier: int,
    columns_of: ColumnsOf,
    places: Mapping[str, int],
    use: Sequence[Range],
) -> Intervals | None:
    """The intervals of a set that begin in the ranges (the first of a range may begin before it)."""
    whole: Intervals | None = None
    with session.storage.reader() as bodies:
        for entry in one.entries:
            chosen = [(found.place, places[found.key]) for found in columns_of(entry.catalogue) if found.key in places]
            if not chosen:
                continue
            width = state.catalogues.widths[entry.catalogue]
            try:
                with bodies.open(entry.id) as read:
                    reader = RollupReader(slices_of(entry, read, len(chosen)), tier, entry.owner, width, STEPS[tier])
                    found = reader.read(chosen, len(places))
            except DamagedChunkError as error:
                session.note_damage(state, entry, -1, str(error))
                raise ChunkGoneError from error
            if whole is None:
                whole = found
                continue
            filled = np.flatnonzero(found.counts.any(axis=0))  # a series has values in one chunk of the set only
            for into, values in zip(whole[3:], found[3:], strict=True):
                into[:, filled] = values[:, filled]
    if whole is None:
        return None
    inside = np.zeros(len(whole.starts), dtype=bool)
    for low, high in use:
        inside |= (whole.starts >= low // STEPS[tier] * STEPS[tier]) & (whole.starts < high)
    return whole if inside.all() else whole.taken(inside)


def _from_rows(
    session: Session,
    state: State,
    view: View,
    columns_of: ColumnsOf,
    places: Mapping[str, int],
    counters: Flags,
    start_ms: int,
    end_ms: int,
) -> Intervals:
    from_ms = start_ms - LOOKBACK_MS
    entries = [one for one in view.entries if one.start_ms < end_ms and one.end_ms >= start_ms]
    head = [row for row in view.head if from_ms <= row.timestamp_ms < end_ms]
    if not entries and not any(row.timestamp_ms >= start_ms for row in head):
        return no_intervals(len(places))
    rows = read_rows(session, state, entries, head, columns_of, places)
    before = [one for one in view.entries if from_ms <= one.end_ms < start_ms] if counters.any() else []
    if before:  # what the counters grew from
        names = {key for key, place in places.items() if counters[place]}
        earlier = read_rows(
            session, state, before, [], lambda number: [one for one in columns_of(number) if one.key in names], places
        )
        rows = RowMatrix.joined(earlier.since(from_ms), rows)
    return roll_up(rows.timestamps, rows.values, counters, step_ms=MINUTE_MS, start_ms=start_ms, end_ms=end_ms)
