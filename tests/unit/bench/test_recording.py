"""The recording is what it is said to be."""

import numpy as np

from cybercorp.bench.recording import HOST_SHIFT, ROWS, SERIES, body, catalogue, recorded_names, recorded_values
from cybercorp.protocol.metrics import check_catalogue


def test_its_shape_and_names() -> None:
    """Half an hour, 124 series, each with a key of its own, in a catalogue that a server takes."""
    assert recorded_values().shape == (ROWS, SERIES)
    assert len(recorded_names()) == SERIES
    assert len({one.key for one in catalogue().series}) == SERIES
    check_catalogue(catalogue())


def test_ratios_are_ratios() -> None:
    """What a fleet's summary shows lies between 0 and 1."""
    for series, column in zip(catalogue().series, recorded_values().T, strict=True):
        if series.name.endswith(".utilization"):
            assert 0 <= column.min() <= column.max() <= 1.5, series.key


def test_hosts_differ() -> None:
    """Host n starts 97 rows after host n − 1, and goes round."""
    assert body(1, 0) == body(0, HOST_SHIFT) != body(0, 0)
    assert body(0, ROWS) == body(0, 0)
    assert np.frombuffer(body(0, 5)).tolist() == recorded_values()[5].tolist()
