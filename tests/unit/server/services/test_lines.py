"""Series of an answer: joined, ranked, thinned out, against the plainest Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.protocol.metrics import Grouping, GroupKey, MetricKind, Ranking, parse_group_key
from cybercorp.server.services.lines import Line, curve_of, group_lines, points_of, rank

VALUE = st.one_of(st.floats(-1e6, 1e6), st.just(math.nan))
LABELS = {"h0": {"env": "prod"}, "h1": {"env": "dev"}, "h2": {}}


def line(host: int, values: list[float], **attributes: str) -> Line:
    """A series of one of three hosts."""
    return Line(
        host=f"web-{host}",
        host_id=f"h{host}",
        name="cpu",
        attributes=attributes,
        unit="1",
        kind=MetricKind.GAUGE,
        values=np.array(values),
    )


LINES = st.integers(1, 5).flatmap(
    lambda points: st.lists(
        st.builds(
            lambda host, core, values: line(host, values, **({"cpu": core} if core else {})),
            st.integers(0, 2),
            st.sampled_from(["", "0", "1"]),
            st.lists(VALUE, min_size=points, max_size=points),
        ),
        min_size=1,
        max_size=8,
    )
)
KEYS = st.lists(st.sampled_from(["host", "cpu", "label:env"]), unique=True, max_size=3).map(
    lambda texts: [parse_group_key(text) for text in texts]
)


def value_of(one: Line, key: GroupKey) -> str:
    if key.kind == "host":
        return one.host
    return (LABELS[one.host_id] if key.kind == "label" else one.attributes).get(key.name, "")


def joined(values: list[float], grouping: Grouping, quantile: float) -> float:
    known = sorted(value for value in values if math.isfinite(value))
    if not known:
        return math.nan
    match grouping:
        case Grouping.AVG:
            return math.fsum(known) / len(known)
        case Grouping.SUM:
            return math.fsum(known)
        case Grouping.MIN:
            return known[0]
        case Grouping.MAX:
            return known[-1]
        case Grouping.COUNT:
            return float(len(known))
    at = quantile * (len(known) - 1)
    low, high = known[math.floor(at)], known[min(math.floor(at) + 1, len(known) - 1)]
    return low + (high - low) * (at - math.floor(at))


@settings(max_examples=150, deadline=None)
@given(lines=LINES, keys=KEYS, grouping=st.sampled_from(list(Grouping)), quantile=st.floats(0, 1))
def test_groups_equal_the_reference(
    lines: list[Line], keys: list[GroupKey], grouping: Grouping, quantile: float
) -> None:
    """Point by point over the known values of each group; what has none is unknown; groups bear what they share."""
    found = group_lines(lines, keys, grouping, quantile, lambda host: LABELS[host])
    expected: dict[tuple[str, ...], list[Line]] = {}
    for one in lines:
        expected.setdefault(tuple(value_of(one, key) for key in keys), []).append(one)
    assert len(found) == len(expected)
    for group in found:
        place = tuple(
            group.host if key.kind == "host" else (group.labels if key.kind == "label" else group.attributes)[key.name]
            for key in keys
        )
        members = expected[place]
        assert group.members == len(members)
        for point, value in enumerate(group.values.tolist()):
            other = joined([float(one.values[point]) for one in members], grouping, quantile)
            assert math.isnan(value) == math.isnan(other)
            assert math.isnan(value) or math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-6)


@settings(max_examples=150, deadline=None)
@given(lines=LINES, keep=st.integers(1, 10), highest=st.booleans(), ranking=st.sampled_from(list(Ranking)))
def test_the_highest_and_the_lowest(lines: list[Line], keep: int, highest: bool, ranking: Ranking) -> None:
    """In order of their figure; equal ones as they came; those without a value never."""

    def figure(one: Line) -> float:
        known: list[float] = [value for value in one.values.tolist() if math.isfinite(value)]
        if not known:
            return math.nan
        match ranking:
            case Ranking.MIN:
                return min(known)
            case Ranking.MAX:
                return max(known)
            case Ranking.LAST:
                return known[-1]
            case Ranking.SUM:
                return float(np.nansum(one.values))
        return float(np.nansum(one.values) / len(known))

    figures = [figure(one) for one in lines]
    known = [place for place, value in enumerate(figures) if not math.isnan(value)]
    expected = sorted(known, key=lambda place: -figures[place] if highest else figures[place])[:keep]
    assert rank([one.values for one in lines], keep if highest else -keep, ranking) == expected


@settings(max_examples=100, deadline=None)
@given(values=st.lists(VALUE, min_size=1, max_size=200), points=st.integers(3, 40))
def test_a_curve_keeps_real_values_and_the_peaks(values: list[float], points: int) -> None:
    """Every kept value was there, at its time; the highest and the lowest are kept; gaps break the curve."""
    curve = curve_of(line(0, values), start_ms=1000, step_ms=10, points=points)
    assert curve.times_ms is not None
    assert curve.times_ms == sorted(curve.times_ms)
    kept = dict(zip(curve.times_ms, curve.values, strict=True))
    real = {1000 + place * 10: value for place, value in enumerate(values) if math.isfinite(value)}
    assert {time: value for time, value in kept.items() if value is not None}.items() <= real.items()
    if real:
        shown = [value for value in curve.values if value is not None]
        assert len(shown) <= max(points, 5)
        assert (min(shown), max(shown)) == (min(real.values()), max(real.values()))
    for time, value in kept.items():
        assert value is not None or time not in real


def test_unknown_values_are_none() -> None:
    """An answer has no NaN in it."""
    assert points_of(line(0, [1.0, math.nan])).values == [1.0, None]
    assert points_of(line(0, [1.0, 2.0])).values == [1.0, 2.0]


@pytest.mark.parametrize("text", ["", "label:", "host:x", "other:thing", "attribute:"])
def test_what_cannot_be_grouped_by_is_refused(text: str) -> None:
    """One clear line with what can."""
    with pytest.raises(Exception, match="nothing to group by"):
        parse_group_key(text)
