"""The answer of a query."""

import math
import sys

import pytest

from cybercorp.client.results import QueryResult
from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.metrics import MetricKind, QueryAnswer, SeriesPoints


@pytest.fixture
def result() -> QueryResult:
    """Two series of three steps, one value unknown."""
    series = [
        SeriesPoints(
            host=host,
            host_id=f"id-{host}",
            name="system.cpu.utilization",
            attributes={"cpu": "0"},
            unit="1",
            kind=MetricKind.GAUGE,
            values=[0.1, None, 0.3],
        )
        for host in ("a", "b")
    ]
    return QueryResult(QueryAnswer(start_ms=10_000, step_ms=1000, points=3, aggregation="avg", series=series))


def test_a_result_is_read_like_a_list_of_series(result: QueryResult) -> None:
    """Length, iteration and the steps' times."""
    assert len(result) == 2
    assert [one.host for one in result] == ["a", "b"]
    assert result.timestamps_ms == [10_000, 11_000, 12_000]
    assert "2 series × 3 points" in repr(result)


def test_numpy_has_one_row_per_series(result: QueryResult) -> None:
    """What is unknown is NaN; an answer without series keeps its width."""
    values = result.to_numpy()
    assert values.shape == (2, 3)
    assert math.isnan(values[0, 1])
    empty = QueryResult(QueryAnswer(start_ms=0, step_ms=1, points=5, aggregation="avg", series=[]))
    assert empty.to_numpy().shape == (0, 5)


@pytest.mark.parametrize(
    ("library", "method"), [("numpy", "to_numpy"), ("pandas", "to_pandas"), ("polars", "to_polars")]
)
def test_a_missing_library_is_named(
    result: QueryResult, library: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lacks pandas is told to install it."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InvalidInputError, match=library) as caught:
        getattr(result, method)()
    assert f"pip install {library}" in caught.value.hint


def test_pandas_gets_a_column_per_series(result: QueryResult) -> None:
    """One row per step in UTC."""
    pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert frame.shape == (3, 2)
    assert str(frame.index.tz) == "UTC"


def test_polars_gets_the_long_form(result: QueryResult) -> None:
    """One row per step and series."""
    pytest.importorskip("polars")
    frame = result.to_polars()
    assert frame.shape == (6, 4)
    assert frame["value"].null_count() == 2
