"""`--faults full` runs each fault as often as its definition asks; the quick profile of every day proves the same less
often."""

from collections.abc import Callable

import pytest


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often: `times(quick, full)`."""
    full = request.config.getoption("--faults") == "full"
    return lambda quick, often: often if full else quick
