"""Series of an answer while it is made: grouped, ranked, thinned out. Pure numpy: no store, no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxLTTBDownsampler

from cybercorp.protocol.metrics import Grouping, GroupKey, MetricKind, Ranking, SeriesPoints

Floats = NDArray[np.float64]
LEAST_CURVE_POINTS = 3


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One series: float64[points], NaN where nothing is known. `host` is empty where several hosts were joined."""

    host: str
    host_id: str
    name: str
    attributes: dict[str, str]
    unit: str
    kind: MetricKind
    values: Floats
    labels: dict[str, str] = {}
    members: int = 1


def group_lines(
    lines: Sequence[Line],
    keys: Sequence[GroupKey],
    grouping: Grouping,
    quantile: float,
    labels_of: Callable[[str], dict[str, str]],
) -> list[Line]:
    """One line for each metric and each combination of `keys`, sorted by them.

    `labels_of` tells the labels of a host by its id. A series without an attribute, or of a host without a label, is
    grouped under the empty text.
    """
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        labels = labels_of(line.host_id) if any(key.kind == "label" for key in keys) else {}
        place = (line.name, line.unit, str(line.kind), *(_value_of(line, key, labels) for key in keys))
        groups.setdefault(place, []).append(line)
    return [_joined(members, keys, place[3:], grouping, quantile) for place, members in sorted(groups.items())]


def rank(series: Sequence[Floats], keep: int, ranking: Ranking) -> list[int]:
    """The places of the `keep` highest, highest first; with a negative `keep` the lowest, lowest first.

    What has no value is left out.
    """
    if not series:
        return []
    figures = _figures(np.concatenate(series).reshape(len(series), -1), ranking)
    order = np.argsort(-figures if keep > 0 else figures, kind="stable")  # NaN comes last either way
    return [place for place in order[: abs(keep)].tolist() if not np.isnan(figures[place])]


def points_of(line: Line) -> SeriesPoints:
    """As it is answered: a value for each step, None where nothing is known."""
    return _answer(line, _known(line.values), None)


def curve_of(line: Line, *, start_ms: int, step_ms: int, points: int) -> SeriesPoints:
    """About `points` of its values with their times: its shape, peaks included (MinMaxLTTB).

    A None stands between two stretches of known values.
    """
    known = np.flatnonzero(np.isfinite(line.values))
    chosen = known
    if len(known) > points:
        kept = MinMaxLTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
            known.astype(np.int64), np.ascontiguousarray(line.values[known]), n_out=max(LEAST_CURVE_POINTS, points - 2)
        )
        peaks = [int(np.argmin(line.values[known])), int(np.argmax(line.values[known]))]
        chosen = known[np.unique(np.concatenate([kept.astype(np.int64), peaks]))]
    # A hole of the source between two chosen points breaks the curve where it begins.
    ends = np.flatnonzero(np.diff(known) > 1)
    holes = known[ends] + 1
    places = np.concatenate([chosen, holes])
    values = np.concatenate([line.values[chosen], np.full(len(holes), np.nan)])
    order = np.argsort(places, kind="stable")
    times = (start_ms + places[order] * step_ms).tolist()
    return _answer(line, _known(values[order]), times)


def _answer(line: Line, values: list[float | None], times_ms: list[int] | None) -> SeriesPoints:
    return SeriesPoints(
        host=line.host,
        host_id=line.host_id,
        name=line.name,
        attributes=line.attributes,
        unit=line.unit,
        kind=line.kind,
        values=values,
        labels=line.labels,
        members=line.members,
        times_ms=times_ms,
    )


def _known(values: Floats) -> list[float | None]:
    finite = np.isfinite(values)
    if finite.all():
        return values.tolist()  # type: ignore[no-any-return]
    mixed = values.astype(object)
    mixed[~finite] = None
    return mixed.tolist()  # type: ignore[no-any-return]


def _value_of(line: Line, key: GroupKey, labels: dict[str, str]) -> str:
    if key.kind == "host":
        return f"{line.host}\0{line.host_id}"
    return (labels if key.kind == "label" else line.attributes).get(key.name, "")


def _joined(
    members: Sequence[Line], keys: Sequence[GroupKey], values: Sequence[str], grouping: Grouping, quantile: float
) -> Line:
    first = members[0]
    by_host = any(key.kind == "host" for key in keys)
    pairs = list(zip(keys, values, strict=True))
    return Line(
        host=first.host if by_host else "",
        host_id=first.host_id if by_host else "",
        name=first.name,
        attributes={key.name: value for key, value in pairs if key.kind == "attribute"},
        labels={key.name: value for key, value in pairs if key.kind == "label"},
        unit="{series}" if grouping is Grouping.COUNT else first.unit,
        kind=first.kind,
        members=len(members),
        values=_across([line.values for line in members], grouping, quantile),
    )


def _across(rows: Sequence[Floats], grouping: Grouping, quantile: float) -> Floats:
    """[series][points] to [points]: unknown values are left out, and what has none is unknown."""
    if grouping is Grouping.QUANTILE:
        return _quantile(np.stack(rows), quantile)
    total = np.zeros(len(rows[0]))
    count = np.zeros(len(rows[0]))
    low, high = np.full(len(total), np.inf), np.full(len(total), -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:  # one after the other: no copy of all of them
            known = np.isfinite(row)
            count += known
            if grouping is Grouping.MIN:
                low = np.fmin(low, row)
            elif grouping is Grouping.MAX:
                high = np.fmax(high, row)
            elif grouping is not Grouping.COUNT:
                total += np.where(known, row, 0.0)
        found: dict[Grouping, Floats] = {Grouping.COUNT: count, Grouping.MIN: low, Grouping.MAX: high}
        mean = total / np.maximum(count, 1) if grouping is Grouping.AVG else total
        result = np.where(count > 0, found.get(grouping, mean), np.nan)
    result[~np.isfinite(result)] = np.nan
    return result


def _quantile(rows: Floats, quantile: float) -> Floats:
    """Linear between the two nearest ranks, as in a step."""
    ordered = np.sort(rows, axis=0)  # NaN last
    count = np.isfinite(rows).sum(axis=0)
    rank = quantile * np.maximum(count - 1, 0)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(count - 1, 0))
    fraction = rank - lower
    low = np.take_along_axis(ordered, lower[None], axis=0)[0]
    high = np.take_along_axis(ordered, upper[None], axis=0)[0]
    return np.where(count > 0, low * (1 - fraction) + high * fraction, np.nan)


def _figures(rows: Floats, ranking: Ranking) -> Floats:
    """[series, points] to one number a series; NaN where it has no value."""
    known = np.isfinite(rows)
    count = known.sum(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        match ranking:
            case Ranking.MIN:
                found = np.where(known, rows, np.inf).min(axis=1)
            case Ranking.MAX:
                found = np.where(known, rows, -np.inf).max(axis=1)
            case Ranking.LAST:
                last = rows.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
                found = np.take_along_axis(rows, last[:, None], axis=1)[:, 0]
            case _:
                found = np.where(known, rows, 0.0).sum(axis=1)
                if ranking is Ranking.AVG:
                    found = found / np.maximum(count, 1)
    return np.where(count > 0, found, np.nan)
