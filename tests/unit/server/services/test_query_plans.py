"""Plans of queries: steps, limits, and one clear line for everything that cannot be asked."""

from __future__ import annotations

from typing import Any

import pytest

from cybercorp.core.errors import InvalidInputError, LimitExceededError, TimeExpressionError
from cybercorp.protocol.metrics import Aggregation, Downsample, Grouping
from cybercorp.server.services.query_plans import (
    MAX_SERIES,
    MAX_VALUES,
    MAX_WORKING_VALUES,
    QueryRequest,
    check_size,
    make_plan,
)

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


def request(**given: Any) -> QueryRequest:
    return QueryRequest(**{"metrics": ["cpu"], "start_ms": NOW_MS - HOUR_MS, "end_ms": NOW_MS, **given})


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"start_ms": NOW_MS + 1, "end_ms": NOW_MS + 2}, TimeExpressionError, "starts in the future"),
        ({"start_ms": -1}, TimeExpressionError, "out of range"),
        ({"end_ms": 10**18}, TimeExpressionError, "out of range"),
        ({"end_ms": NOW_MS - HOUR_MS}, TimeExpressionError, "ends before it starts"),
        ({"step_ms": 0}, InvalidInputError, "step 0 ms is not positive"),
        ({"step_ms": 1}, LimitExceededError, "11,000 are the most"),
        ({"points": 0}, InvalidInputError, "0 points cannot be made"),
        ({"points": 2, "downsample": Downsample.MINMAXLTTB}, InvalidInputError, "2 points cannot be made"),
        ({"quantile": 1.5}, InvalidInputError, "quantile 1.5 is out of range"),
        ({"quantile": 0.5, "aggregation": Aggregation.MAX}, InvalidInputError, "with the aggregation max"),
        ({"group_quantile": -1.0}, InvalidInputError, "quantile -1 is out of range"),
        ({"group_quantile": 0.5, "group": Grouping.MAX}, InvalidInputError, "joined by max"),
        ({"topk": 3, "bottomk": 3}, InvalidInputError, "exclude each other"),
        ({"topk": 0}, InvalidInputError, "topk 0 is out of range"),
        ({"bottomk": MAX_SERIES + 1}, InvalidInputError, "out of range"),
        ({"by": [f"a{n}" for n in range(9)]}, LimitExceededError, "too many"),
        ({"by": ["label:"]}, InvalidInputError, "nothing to group by"),
        ({"metrics": ["{}"]}, InvalidInputError, "is not a metric"),
    ],
)
def test_bad_questions_are_answered_in_one_line(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """Each says what is wrong and has a hint what to do."""
    with pytest.raises(error, match=words) as told:
        make_plan(request(**given), NOW_MS)
    assert getattr(told.value, "hint", "")
    assert "\n" not in str(told.value)


def test_a_step_as_long_as_the_range_is_one_point_of_exactly_it() -> None:
    """`--since 15m --step 15m` is the last quarter of an hour, not the two that begin at full ones."""
    plan = make_plan(request(start_ms=NOW_MS - 900_001, step_ms=1_800_000), NOW_MS)
    assert (plan.start_ms, plan.step_ms, plan.points) == (NOW_MS - 900_001, 900_001, 1)


def test_old_history_has_no_finer_step_than_is_kept() -> None:
    """Where only minutes or hours are left, a chosen step and a whole range are made of those."""
    assert make_plan(request(points=3600), NOW_MS, 60_000).step_ms == 60_000
    plan = make_plan(request(start_ms=NOW_MS - HOUR_MS - 7, step_ms=10 * HOUR_MS), NOW_MS, 60_000)
    assert (plan.start_ms % 60_000, plan.step_ms % 60_000, plan.points) == (0, 0, 1)
    assert plan.end_ms >= NOW_MS


def test_steps_begin_at_multiples_of_themselves() -> None:
    """So that the same step of two queries covers the same samples."""
    plan = make_plan(request(start_ms=NOW_MS - HOUR_MS + 7, step_ms=60_000), NOW_MS)
    assert plan.start_ms % 60_000 == 0
    assert plan.end_ms >= NOW_MS


def test_a_chosen_step_fits_the_points() -> None:
    """About as many points as were asked for; for a curve many more, of which it is made."""
    assert make_plan(request(points=60), NOW_MS).step_ms == 60_000
    assert make_plan(request(points=60, downsample=Downsample.MINMAXLTTB), NOW_MS).step_ms == 1000


def test_too_much_is_refused_before_it_is_read() -> None:
    """Series, values of an answer, values to work on: each has its limit and its own words."""
    plan = make_plan(request(step_ms=1000), NOW_MS)
    check_size(plan, MAX_VALUES // plan.points)
    with pytest.raises(LimitExceededError, match="The answer would hold"):
        check_size(plan, MAX_VALUES // plan.points + 1)
    grouped = make_plan(request(step_ms=1000, group=Grouping.SUM), NOW_MS)
    check_size(grouped, MAX_VALUES // plan.points + 1)
    with pytest.raises(LimitExceededError, match="would have to work on"):
        check_size(grouped, MAX_WORKING_VALUES // plan.points + 1)
    with pytest.raises(LimitExceededError, match="series match"):
        check_size(grouped, MAX_SERIES + 1)
