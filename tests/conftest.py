"""What every test has: property tests without a clock, and no way to the user's own data or credentials."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import VARIABLE, drop_database, new_database, postgres_server
from tests.stack import Stack, running_stack

settings.register_profile("shared-machine", deadline=None)  # other work on the machine must not fail a property
settings.load_profile("shared-machine")

# Whoever starts the tests in the background (nohup, a build agent) has these ignored, and children would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often each fault is tried."""
    parser.addoption("--faults", choices=["quick", "full"], default="quick", help="full: as docs/reliability.md says")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test finds or touches the data, configuration or credentials of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CYBERCORP_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(home / "config"))
    for variable in ("CYBERCORP_URL", "CYBERCORP_TOKEN", "CYBERCORP_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One real `cybercorp up --headless` with this machine's agent, shared by the tests that only look."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL for this worker: named, from the wheel, or the system's. In CI its absence is a failure."""
    if named := os.environ.get(VARIABLE):
        yield named
        return
    try:
        with postgres_server() as server:
            yield server.url
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database for the tests of one module."""
    url = new_database(postgres_url)
    yield url
    if VARIABLE in os.environ:  # a server of our own goes as a whole, which is faster
        drop_database(url)


@pytest.fixture
def fresh_database_url(postgres_url: str) -> Iterator[str]:
    """An empty database for one test."""
    url = new_database(postgres_url)
    yield url
    if VARIABLE in os.environ:  # a server of our own goes as a whole, which is faster
        drop_database(url)
