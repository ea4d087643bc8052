"""What is done when a stretch of history is over: four hours of a host become one long chunk and minutes, a day of
minutes one chunk and hours, four weeks of hours one chunk.

A step is one stretch of one host, some tens of milliseconds of work without a lock, and a short transaction. A stretch
that gets rows again later is settled again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cybercorp.core.clock import Clock
from cybercorp.store.timeseries.index import PERIOD_MS, period_start, runs_of
from cybercorp.store.timeseries.rollup_index import DAY_PERIODS, HOURS, MINUTES, MONTH_PERIODS, RollupSet, covering
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HostState, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError
from cybercorp.store.timeseries.upkeep.rollup_making import RollupMaker

QUIET_MS = 10 * 60_000
"""A stretch is over when its end is past and nothing of it arrived for so long."""

MAX_STEPS = 4  # sealing comes between
MAX_LOOKS = 2_000  # after a start every stretch is looked at, most of them in vain
LONG_VALUES = 1 << 21

MONTH_DAYS = MONTH_PERIODS // DAY_PERIODS
_MONTH = 0

MergeRun = Callable[[State, Sequence[ChunkEntry]], bool]
_Step = tuple[int, int, int]  # MINUTES for a period, HOURS for a day or _MONTH; the host; the stretch's number


class Settler:
    """One at a time: the caller holds a lock around `settle`."""

    def __init__(self, session: Session, clock: Clock, merge: MergeRun) -> None:
        self._session = session
        self._clock = clock
        self._merge = merge
        self._maker = RollupMaker(session)

    def settle(self, state: State) -> tuple[int, bool]:
        """Do a few steps; returns how many, and whether more are due. Raises StorageError."""
        due = self._due(state)
        made = 0
        for kind, host, number in due:
            if made >= MAX_STEPS:
                return made, True
            try:
                made += self._settle(state, kind, host, number)
            except ChunkGoneError:
                continue  # dropped meanwhile; what is left of it is looked at the next time
        return made, len(due) >= MAX_LOOKS

    def _due(self, state: State) -> list[_Step]:
        """Coarser stretches come when all finer ones inside are settled, so that each is made once."""
        with state.lock:
            hosts = list(state.hosts.values())
        now = self._clock.now_ms()
        periods, days, months = [], [], []
        for host in hosts:
            with state.lock:  # host by host: the writer waits for one, not for all
                periods += [(MINUTES, host.host, one) for one in _over_periods(host, now)]
                days += [(HOURS, host.host, one) for one in _over_days(host, now)]
                months += [(_MONTH, host.host, one) for one in _over_months(host, now)]
            if len(periods) + len(days) + len(months) >= MAX_LOOKS:
                break
        return periods + days + months

    def _settle(self, state: State, kind: int, host: int, number: int) -> bool:
        with state.lock:
            known = state.hosts.get(host)
        if known is None:
            return False
        if kind == MINUTES:
            return self._settle_period(state, known, number)
        if kind == HOURS:
            return self._settle_day(state, known, number)
        return self._settle_month(state, known, number)

    def _settle_period(self, state: State, host: HostState, period: int) -> bool:
        stretch = range(period, period + 1)
        with state.lock:
            received_ms = host.samples.unsettled.get(period, 0)
            entries = host.samples.of_period(period)
            known = _sets(host, MINUTES, stretch)
            runs = [
                run
                for run in runs_of(entries, LONG_VALUES, state.catalogues.widths)
                if not any(state.is_damaged(entry.id) for entry in run)
            ]
        fresh = bool(entries) and (not known or known[-1].last < max(entry.last for entry in entries))
        worked = False
        for run in runs:  # first: one long chunk is read in half the time of many
            worked = self._merge(state, run) or worked
        worked = (fresh and self._make(state, host, MINUTES, stretch)) or worked
        with state.lock:
            if host.samples.unsettled.get(period, 0) <= received_ms:
                host.samples.unsettled.pop(period, None)
        return worked

    def _settle_day(self, state: State, host: HostState, day: int) -> bool:
        stretch = range(day * DAY_PERIODS, (day + 1) * DAY_PERIODS)
        with state.lock:
            minutes, hours = _sets(host, MINUTES, stretch), _sets(host, HOURS, stretch)
        worked = len(minutes) > 1 and self._make(state, host, MINUTES, stretch)
        if minutes and (not hours or hours[-1].last < minutes[-1].last):
            worked = self._make(state, host, HOURS, stretch) or worked
        with state.lock:
            host.minutes.unsettled.discard(day)
        return worked

    def _settle_month(self, state: State, host: HostState, month: int) -> bool:
        stretch = range(month * MONTH_PERIODS, (month + 1) * MONTH_PERIODS)
        with state.lock:
            joined = len(_sets(host, HOURS, stretch)) > 1
        worked = joined and self._make(state, host, HOURS, stretch)
        with state.lock:
            host.hours.unsettled.discard(month)
        return worked

    def _make(self, state: State, host: HostState, kind: int, stretch: range) -> bool:
        number = host.host
        start_ms, end_ms = period_start(number, stretch.start), period_start(number, stretch.stop)
        made = self._maker.make(state, number, kind, start_ms, end_ms)
        index = host.minutes if kind == MINUTES else host.hours
        with self._session.writing() as current:
            with state.lock:
                if current is not state or state.hosts.get(number) is not host or not made:
                    return False
                blocks = []
                for entry, body in made:
                    blocks.append((entry._replace(id=state.next_chunk), body))
                    state.next_chunk += 1
            self._session.storage.add_chunks(blocks, [])
            with state.lock:
                for entry, _ in blocks:
                    index.add(entry)
                superseded = index.superseded()
            if superseded:  # were they left by a kill, they would count no more
                self._session.storage.delete_chunks([entry.id for entry in superseded])
                with state.lock:
                    for entry in superseded:
                        index.remove(entry)
                        state.forget_damage(entry.id)
        return True


def _over_periods(host: HostState, now_ms: int) -> list[int]:
    return [
        period
        for period, received_ms in host.samples.unsettled.items()
        if received_ms <= now_ms - QUIET_MS
        and (period_start(host.host, period + 1) <= now_ms or received_ms <= now_ms - PERIOD_MS)
    ]


def _over_days(host: HostState, now_ms: int) -> list[int]:
    return [
        day
        for day in host.minutes.unsettled
        if period_start(host.host, (day + 1) * DAY_PERIODS) <= now_ms
        and not any(one in host.samples.unsettled for one in range(day * DAY_PERIODS, (day + 1) * DAY_PERIODS))
    ]


def _over_months(host: HostState, now_ms: int) -> list[int]:
    return [
        month
        for month in host.hours.unsettled
        if period_start(host.host, (month + 1) * MONTH_PERIODS) <= now_ms
        and not any(one in host.minutes.unsettled for one in range(month * MONTH_DAYS, (month + 1) * MONTH_DAYS))
    ]


def _sets(host: HostState, kind: int, stretch: range) -> list[RollupSet]:
    """The sets that count in some periods, those with the newest blocks last."""
    index = host.minutes if kind == MINUTES else host.hours
    entries = index.between(period_start(host.host, stretch.start), period_start(host.host, stretch.stop))
    counting = covering(host.host, entries)
    return sorted({one[:3]: one for period, one in counting.items() if period in stretch}.values())
