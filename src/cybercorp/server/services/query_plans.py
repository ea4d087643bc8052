"""A range query as it was asked, checked against the limits; what is to be done for it. Pure: no store, no hosts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cybercorp.core.errors import InvalidInputError, LimitExceededError, TimeExpressionError
from cybercorp.core.times import format_duration_ms
from cybercorp.protocol.metrics import (
    Aggregation,
    Downsample,
    Grouping,
    GroupKey,
    MetricSelector,
    Ranking,
    parse_group_key,
    parse_metric_selector,
)

MAX_POINTS = 11_000
MAX_FINE_POINTS = 100_000
FINE_POINTS = 20_000
MAX_VALUES = 2_000_000
MAX_WORKING_VALUES = 8_000_000
MAX_SERIES = 20_000
MAX_KEYS = 8
DEFAULT_POINTS = 300
_LAST_MS = 253_402_300_800_000
_NICE_STEPS_MS = [
    1000 * n
    for n in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
]


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A range query as it was asked; see the REST reference."""

    metrics: Sequence[str]
    start_ms: int
    end_ms: int
    step_ms: int | None = None
    aggregation: Aggregation | None = None
    quantile: float | None = None
    points: int = DEFAULT_POINTS
    by: Sequence[str] = ()
    group: Grouping | None = None
    group_quantile: float | None = None
    topk: int | None = None
    bottomk: int | None = None
    rank: Ranking = Ranking.AVG
    downsample: Downsample | None = None


class Plan(NamedTuple):
    """What is to be done. `grouping` None leaves the series as they are; `keep` < 0 asks for the lowest."""

    selectors: tuple[MetricSelector, ...]
    start_ms: int
    step_ms: int
    points: int
    aggregation: Aggregation | None
    quantile: float | None
    grouping: Grouping | None
    group_quantile: float
    keys: tuple[GroupKey, ...]
    keep: int
    rank: Ranking
    curve_points: int  # 0: no downsampling

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.points * self.step_ms


def make_plan(request: QueryRequest, now_ms: int, finest_ms: int = 1) -> Plan:
    """Check a request. `finest_ms` is the finest that history has where the range starts: a chosen step is no finer.

    Raises TimeExpressionError, LimitExceededError (`too_many_points`), InvalidInputError.
    """
    _check_times(request, now_ms)
    step_ms = _step(request, finest_ms)
    span_ms = request.end_ms - request.start_ms
    if step_ms >= span_ms:  # one number for the whole range, exactly
        start_ms, points = request.start_ms - request.start_ms % finest_ms, 1
        step_ms = -(-(request.end_ms - start_ms) // finest_ms) * finest_ms
    else:
        start_ms = request.start_ms - request.start_ms % step_ms
        points = -(-(request.end_ms - start_ms) // step_ms)
    most = MAX_FINE_POINTS if request.downsample else MAX_POINTS
    if points > most:
        fitting = _nice_step(request.end_ms - request.start_ms, most)
        raise LimitExceededError(
            f"A step of {format_duration_ms(step_ms)} over this span gives {points:,} points a series; "
            f"{most:,} are the most.",
            hint=f"Use --step {format_duration_ms(fitting)} or a shorter span.",
            code="too_many_points",
        )
    grouping = request.group or (Grouping.AVG if request.by else None)
    if request.group_quantile is not None:
        grouping = request.group or Grouping.QUANTILE
    _check_numbers(request, grouping)
    return Plan(
        selectors=tuple(parse_metric_selector(text) for text in request.metrics),
        start_ms=start_ms,
        step_ms=step_ms,
        points=points,
        aggregation=request.aggregation,
        quantile=request.quantile,
        grouping=grouping,
        group_quantile=0.5 if request.group_quantile is None else request.group_quantile,
        keys=tuple(dict.fromkeys(parse_group_key(text) for text in request.by)),
        keep=request.topk or -(request.bottomk or 0),
        rank=request.rank,
        curve_points=request.points if request.downsample else 0,
    )


def check_size(plan: Plan, matching: int) -> None:
    """Raises LimitExceededError where `matching` series would be too much to work on, or to answer."""
    if matching > MAX_SERIES:
        raise LimitExceededError(
            f"{matching:,} series match; {MAX_SERIES:,} are the most that one query reads.",
            hint="Choose fewer hosts, or name the attributes: 'cores' means one series for each core.",
            code="too_many_series",
        )
    whole = plan.grouping is None and plan.keep == 0 and plan.curve_points == 0
    most = MAX_VALUES if whole else MAX_WORKING_VALUES
    if matching * plan.points > most:
        where = "The answer would hold" if whole else "It would have to work on"
        raise LimitExceededError(
            f"{where} {matching:,} series of {plan.points:,} points; {most:,} values are the most.",
            hint="Choose fewer hosts or series, or a longer step.",
            code="too_many_points",
        )


def _check_times(request: QueryRequest, now_ms: int) -> None:
    if request.start_ms > now_ms:
        raise TimeExpressionError(
            "The query starts in the future, where nothing is stored.",
            hint="Choose a start before now: --since 15m.",
        )
    if request.start_ms < 0 or request.end_ms > _LAST_MS:
        raise TimeExpressionError("The query's times are out of range.", hint="Use Unix milliseconds.")
    if request.end_ms <= request.start_ms:
        raise TimeExpressionError("The query ends before it starts.", hint="Choose --since before --until.")


def _check_numbers(request: QueryRequest, grouping: Grouping | None) -> None:
    for quantile in (request.quantile, request.group_quantile):
        if quantile is not None and not 0 <= quantile <= 1:
            raise InvalidInputError(f"The quantile {quantile:g} is out of range.", hint="Use 0 to 1.")
    if request.quantile is not None and request.aggregation not in (None, Aggregation.QUANTILE):
        raise InvalidInputError(
            f"A quantile was given with the aggregation {request.aggregation}.", hint="Leave one of them out."
        )
    if request.group_quantile is not None and grouping is not Grouping.QUANTILE:
        raise InvalidInputError(
            f"A group's quantile was given, and the groups are joined by {grouping}.", hint="Leave one of them out."
        )
    if request.topk is not None and request.bottomk is not None:
        raise InvalidInputError("topk and bottomk exclude each other.", hint="Ask twice.")
    for name, number in (("topk", request.topk), ("bottomk", request.bottomk)):
        if number is not None and not 1 <= number <= MAX_SERIES:
            raise InvalidInputError(f"{name} {number} is out of range.", hint=f"Use 1 to {MAX_SERIES:,}.")
    if len(request.by) > MAX_KEYS:
        raise LimitExceededError(
            f"{len(request.by)} things to group by are too many.", hint=f"{MAX_KEYS} are the most."
        )


def _step(request: QueryRequest, finest_ms: int) -> int:
    if request.step_ms is not None:
        if request.step_ms < 1:
            raise InvalidInputError(f"The step {request.step_ms} ms is not positive.", hint="Use --step 10s.")
        return request.step_ms
    least = 3 if request.downsample else 1
    if not least <= request.points <= MAX_POINTS:
        raise InvalidInputError(f"{request.points} points cannot be made.", hint=f"Ask for {least} to {MAX_POINTS}.")
    wanted = FINE_POINTS if request.downsample else request.points
    return max(finest_ms, _nice_step(request.end_ms - request.start_ms, wanted))


def _nice_step(span_ms: int, points: int) -> int:
    wanted = span_ms / points
    return next((step for step in _NICE_STEPS_MS if step >= wanted), math.ceil(wanted / 604_800_000) * 604_800_000)
