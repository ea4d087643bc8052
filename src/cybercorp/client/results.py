"""The answer of a range query, with conversions to numpy, pandas and polars for those who have them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.metrics import QueryAnswer, SeriesPoints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class QueryResult:
    """Series over common steps: point i of each covers `[start_ms + i*step_ms, start_ms + (i+1)*step_ms)`.

    Of a downsampled answer each series has `times_ms` of its own instead, which only `to_polars` can show.

    result = fleet.metrics.query("cpu", hosts="web-*", since="1h", step="10s")
    for series in result:
        print(series.host, series.key, series.values[-1])
    """

    def __init__(self, answer: QueryAnswer) -> None:
        self.answer = answer

    def __len__(self) -> int:
        return len(self.answer.series)

    def __iter__(self) -> Iterator[SeriesPoints]:
        return iter(self.answer.series)

    def __repr__(self) -> str:
        answer = self.answer
        return f"<QueryResult {len(self)} series × {answer.points} points of {answer.step_ms} ms, {answer.aggregation}>"

    @property
    def series(self) -> list[SeriesPoints]:
        """One entry per host and series; `values` has None where nothing is known."""
        return self.answer.series

    @property
    def timestamps_ms(self) -> list[int]:
        """The start of every step, Unix milliseconds."""
        answer = self.answer
        return [answer.start_ms + index * answer.step_ms for index in range(answer.points)]

    def to_numpy(self) -> NDArray[np.float64]:
        """float64 of shape (series, points), NaN where nothing is known; rows as in `series`."""
        numpy = _library("numpy", "to_numpy")
        if any(one.times_ms is not None for one in self.answer.series):
            raise InvalidInputError(
                "Downsampled series have no common steps.", hint="Use to_polars(), or query without downsample."
            )
        rows = [one.values for one in self.answer.series]
        made: NDArray[np.float64] = numpy.array(rows, dtype=numpy.float64).reshape(len(rows), self.answer.points)
        return made

    def to_pandas(self) -> Any:
        """A pandas DataFrame: one row per step (UTC), one column per series with levels `host` and `series`."""
        pandas = _library("pandas", "to_pandas")
        index = pandas.to_datetime(self.timestamps_ms, unit="ms", utc=True)
        columns = pandas.MultiIndex.from_tuples(self._names(), names=["host", "series"])
        return pandas.DataFrame(self.to_numpy().T, index=index.rename("time"), columns=columns)

    def to_polars(self) -> Any:
        """A polars DataFrame in long form: `time` (UTC), `host`, `series`, `value` (null where nothing is known)."""
        polars = _library("polars", "to_polars")
        steps = self.timestamps_ms
        frame = polars.DataFrame(
            {
                "time": [time for one in self.answer.series for time in one.times_ms or steps],
                "host": [one.host for one in self.answer.series for _ in one.values],
                "series": [one.key for one in self.answer.series for _ in one.values],
                "value": [value for one in self.answer.series for value in one.values],
            },
            schema={"time": polars.Int64, "host": polars.String, "series": polars.String, "value": polars.Float64},
        )
        return frame.with_columns(polars.col("time").cast(polars.Datetime("ms", "UTC")))

    def _names(self) -> list[tuple[str, str]]:
        return [(one.host, one.key) for one in self.answer.series]


def _library(name: str, method: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInputError(
            f"{method}() needs {name}, which is not installed.", hint=f"Run: pip install {name}", code="library_missing"
        ) from error
