"""The façades: what each method asks, and that the two of them are the same."""

import inspect
from typing import Any, cast

import pytest

from cybercorp import AsyncClient, Client
from cybercorp.client import (
    accounts,
    agents,
    audit,
    elevations,
    events,
    hosts,
    metrics,
    mfa,
    processes,
    roles,
    servers,
    sessions,
    tokens,
    users,
)
from cybercorp.client.calls import Caller, complete
from cybercorp.client.exports import StreamingCaller
from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import InvalidInputError, NotFoundError
from cybercorp.protocol.metrics import QueryAnswer

PAIRS = [
    (hosts.AsyncHosts, hosts.Hosts),
    (metrics.AsyncMetrics, metrics.Metrics),
    (processes.AsyncProcesses, processes.Processes),
    (events.AsyncEvents, events.Events),
    (agents.AsyncAgents, agents.Agents),
    (servers.AsyncServer, servers.Server),
    (accounts.AsyncAccount, accounts.Accounts),
    (users.AsyncUsers, users.Users),
    (sessions.AsyncSessions, sessions.Sessions),
    (mfa.AsyncMfa, mfa.Mfa),
    (audit.AsyncAudit, audit.Audit),
    (roles.AsyncRoles, roles.Roles),
    (roles.AsyncBindings, roles.Bindings),
    (elevations.AsyncElevations, elevations.Elevations),
    (tokens.AsyncTokens, tokens.Tokens),
]


def _methods(kind: type) -> dict[str, Any]:
    return {name: one for name, one in vars(kind).items() if not name.startswith("_") and inspect.isfunction(one)}


@pytest.mark.parametrize(("awaited", "blocking"), PAIRS)
def test_both_facades_have_the_same_methods(awaited: type, blocking: type) -> None:
    """Same names, same parameters, same defaults, same answers; only `await` differs."""
    first, second = _methods(awaited), _methods(blocking)
    assert first.keys() == second.keys()
    for name, one in first.items():
        assert inspect.iscoroutinefunction(one)
        assert inspect.signature(one) == inspect.signature(second[name]), name
        assert second[name].__doc__, name


def test_both_clients_are_made_and_used_alike() -> None:
    """The clients take the same arguments and have the same nouns."""
    assert inspect.signature(AsyncClient.__init__) == inspect.signature(Client.__init__)
    first, second = AsyncClient("http://localhost:1", token="t"), Client("http://localhost:1", token="t")
    nouns = {name for name in vars(first) if not name.startswith("_")}
    assert nouns == {name for name in vars(second) if not name.startswith("_")}
    assert {"hosts", "metrics", "processes", "events", "agents", "server"} <= nouns
    second.close()
    live, iterated = inspect.signature(AsyncClient.live), inspect.signature(Client.live)
    assert live.parameters == iterated.parameters


def test_every_public_method_says_what_it_does() -> None:
    """The library is documented where people look first."""
    for kind in (AsyncClient, Client, *(one for pair in PAIRS for one in pair)):
        assert kind.__doc__
        assert all(one.__doc__ for one in _methods(kind).values())


class Recorder:
    """Keeps what a façade asks and answers with a value."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def call(self, method: str, path: str, answer: Any, **rest: Any) -> Any:
        self.asked.append((method, path, rest))
        return self.value


def _given(recorder: Recorder) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, value in recorder.asked[0][2].get("params", ()):
        if value is not None:
            found.setdefault(key, []).append(value)
    return found


def _caller(recorder: Recorder) -> Caller:
    return recorder


def _metrics(recorder: Recorder, clock: ManualClock | None = None) -> metrics.AsyncMetrics:
    return metrics.AsyncMetrics(cast(StreamingCaller, recorder), clock)  # nothing is streamed in these tests


def test_a_host_name_stays_one_segment_of_the_path() -> None:
    """A name with slashes, dots or blanks cannot reach another route."""
    recorder = Recorder()
    complete(hosts.AsyncHosts(_caller(recorder)).get("../a b/ü?x=1#y"))
    assert recorder.asked[0][1] == "/api/v1/hosts/..%2Fa%20b%2F%C3%BC%3Fx%3D1%23y"
    for name in ("", ".", ".."):
        with pytest.raises(NotFoundError):
            complete(hosts.AsyncHosts(_caller(recorder)).get(name))


def test_labels_join_every_selector() -> None:
    """`labels` narrow each of the selectors; a blank in a value does not split it."""
    recorder = Recorder([])
    complete(hosts.AsyncHosts(_caller(recorder)).list("a", "b", labels={"env": "my prod"}))
    assert _given(recorder)["selector"] == ["a env=my?prod", "b env=my?prod"]


def test_changes_say_only_what_changes() -> None:
    """Labels and names are patched apart."""
    recorder = Recorder()
    noun = hosts.AsyncHosts(_caller(recorder))
    complete(noun.label("h", {"a": "b", "c": None}))
    complete(noun.rename("h", "new"))
    complete(noun.remove("h"))
    assert [one[0] for one in recorder.asked] == ["PATCH", "PATCH", "DELETE"]
    assert recorder.asked[0][2]["body"].labels == {"a": "b", "c": None}
    assert recorder.asked[1][2]["body"].name == "new"


def test_a_query_reads_times_as_people_write_them() -> None:
    """`since`, `until` and `step` become milliseconds by the caller's clock."""
    recorder = Recorder(QueryAnswer(start_ms=0, step_ms=1, points=0, aggregation="avg", series=[]))
    clock = ManualClock(now_ms=1_000_000_000)
    noun = _metrics(recorder, clock)
    complete(noun.query("cpu", "mem", hosts=["web-*", "db"], since="1h", until="5m ago", step="10s"))
    given = _given(recorder)
    assert given["metric"] == ["cpu", "mem"]
    assert given["selector"] == ["web-*", "db"]
    assert given["start_ms"] == [1_000_000_000 - 3_600_000]
    assert given["end_ms"] == [1_000_000_000 - 300_000]
    assert given["step_ms"] == [10_000]
    assert "aggregation" not in given


def test_a_query_without_a_metric_is_refused() -> None:
    """Nothing is asked where nothing is wanted."""
    with pytest.raises(InvalidInputError):
        complete(_metrics(Recorder()).query())


def test_joining_shows_the_enrolment_token() -> None:
    """`enrol` uses the token that was given, not the client's own."""
    recorder = Recorder()
    complete(agents.AsyncAgents(_caller(recorder)).enrol("cce_x", "web-1", "ab" * 32))
    assert recorder.asked[0][2]["token"] == "cce_x"
    assert recorder.asked[0][2]["body"].name == "web-1"


def test_a_call_that_would_wait_is_refused_without_a_loop() -> None:
    """`complete` never leaves a half-run coroutine behind."""

    async def waits() -> None:
        await _Forever()

    with pytest.raises(RuntimeError):
        complete(waits())


class _Forever:
    def __await__(self) -> Any:
        yield
