"""Where no processes were recorded, the answer names the instants at which some were."""

from cybercorp.server.services.processes import nearest_hint


def test_both_neighbours() -> None:
    """Both are named, in UTC, rounded up to the second, so that asking for the text finds the table."""
    assert nearest_hint(1_800_000_000_001, 1_800_000_060_000) == (
        "The last before was recorded at 2027-01-15T08:00:01Z and the first after was recorded at 2027-01-15T08:01:00Z."
    )


def test_one_neighbour() -> None:
    """Only what exists is named."""
    assert nearest_hint(None, 1_800_000_000_000) == "The first after was recorded at 2027-01-15T08:00:00Z."


def test_none() -> None:
    """A host without any history is told as such."""
    assert nearest_hint(None, None).startswith("None are recorded at all yet")
