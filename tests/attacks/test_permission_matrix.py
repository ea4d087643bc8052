"""Who may do what, for every route and every live topic that there is: generated from the tables that the server uses.

Principals are bound everywhere, or to one of two labels. What is expected follows from the permission that a handler
declares and from the roles; what is seen must be that, and nothing of a host outside the scope may be in any answer.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cybercorp.protocol.live import MetricsUpdate, Subscribe, Subscribed, Topic
from cybercorp.protocol.permissions import OF_EVERYBODY, OF_HOSTS, SHIPPED_ROLES, Permission
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import MESSAGES, TOPIC_PERMISSIONS, Direction
from cybercorp.protocol.roles import Effect, NewBinding, NewRole
from cybercorp.server.api.guards import ANONYMOUS
from cybercorp.server.app import make_app
from cybercorp.server.services.views import View
from tests.attacks.people import LOCAL_OWNER, ask, make_user, session_of, within
from tests.integration.serving import AgentPeer, Peer, ServerThread
from tests.stack import wait_until

PROD, DEV = "alpha-of-prod", "beta-of-dev"


class Who(NamedTuple):
    """A user: a role, everywhere or on one label."""

    name: str
    role: str | None
    scope: str

    def holds(self, permission: Permission, host: str | None = None) -> bool:
        """As a person would read the roles: for this host, or without one for any at all."""
        if permission in OF_EVERYBODY:
            return True
        if self.role is None or permission not in SHIPPED_ROLES[self.role][1]:
            return False
        if not self.scope:
            return True
        return permission in OF_HOSTS and (host is None or (host == PROD) == (self.scope == "env=prod"))


EVERYBODY = [
    Who("nobody", None, ""),
    *(
        Who(f"{role}-{where or 'all'}", role, f"env={where}" if where else "")
        for role in SHIPPED_ROLES
        for where in ("", "prod", "dev")
    ),
]


# Two of them in the quick run, the others with the slow proofs.
SHARED = [
    pytest.param(who, id=who.name, marks=() if who.name in ("nobody", "operator-prod") else pytest.mark.slow)
    for who in EVERYBODY
]


class Stage(NamedTuple):
    server: ServerThread
    agents: dict[str, AgentPeer]
    ids: dict[str, str]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two hosts with different labels that send, and every kind of user."""
    with ServerThread(tmp_path_factory.mktemp("matrix") / "data", password_memory_kib=19_456) as server:
        agents, ids = {}, {}
        for name, env in ((PROD, "prod"), (DEV, "dev")):
            agents[name] = server.agent(name, server.join(name, server.enrolment(labels={"env": env})))
            agents[name].announce()
            agents[name].samples(0.1, 0.2)
            ids[name] = server.get(f"/api/v1/hosts/{name}")["id"]
        for who in EVERYBODY:
            make_user(server, who.name, who.role, who.scope)
        tokens = {who.name: session_of(server, who.name) for who in EVERYBODY}
        yield Stage(server, agents, ids, tokens)
        for agent in agents.values():
            agent.close()


def routes(server: ServerThread) -> list[tuple[str, str, Any]]:
    """Every method and path of the application that is served, with what its handler declares."""
    app: Any = make_app(server.services)
    while not hasattr(app, "routes"):
        app = app._app
    found = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in sorted(handler.http_methods):
                found += [(str(method), route.path, handler.opt.get("permission"))]
    return [one for one in found if one[0] != "OPTIONS"]


BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/mfa/totp": {"name": "x"},
    "/api/v1/account/step-up": {"password": "x"},
    "/api/v1/account/password": {"old_password": "x", "new_password": "y"},
}
QUERIES: dict[str, dict[str, Any]] = {
    "/api/v1/metrics/query": {"metric": "load", "start_ms": 1},
    "/api/v1/metrics/export": {"metric": "*", "start_ms": int(time.time() * 1000) - 600_000, "format": "ndjson"},
    "/api/v1/recordings": {
        "since_ms": int(time.time() * 1000) - 60_000,
        "until_ms": int(time.time() * 1000) + 60_000,
    },
}


def try_it(stage: Stage, who: Who, method: str, path: str, host: str | None) -> Any:
    filled = re.sub(r"\{host:str\}", host or "", path)
    filled = re.sub(r"\{\w+:str\}", "unheard-of", filled)
    options: dict[str, Any] = {"params": QUERIES.get(path.rstrip("/"), {})}
    if method in ("POST", "PATCH", "PUT"):
        options["json"] = BODIES.get(path.rstrip("/"), {})
    return ask(stage.server, method, filled, stage.tokens[who.name], **options)


@pytest.mark.parametrize("who", SHARED)
def test_every_route(stage: Stage, who: Who) -> None:
    """Allowed exactly where the role and the scope say so; outside the scope a host is absent, and nowhere named."""
    walked = 0
    for method, path, permission in routes(stage.server):
        if permission == ANONYMOUS or path.endswith("/logout"):
            continue
        assert isinstance(permission, Permission)
        for host in (PROD, DEV) if "{host:str}" in path else (None,):
            answer = try_it(stage, who, method, path, host)
            where = (who.name, method, path, host, answer.status_code, answer.text[:300])
            code = answer.json().get("code") if answer.status_code >= 400 else None
            walked += 1
            if not who.holds(permission):
                assert (answer.status_code, code) == (403, "forbidden"), where
            elif host is not None and not who.holds(permission, host):
                assert (answer.status_code, code) in ((404, "host_not_found"), (403, "forbidden")), where
                assert (code == "forbidden") == who.holds(Permission.HOSTS_VIEW, host), where
            else:
                assert answer.status_code != 401 or code == "wrong_credentials", where
                assert answer.status_code < 500, where
                assert code not in ("forbidden", "mfa_required"), where
            for other in (PROD, DEV):
                if host != other and not who.holds(Permission.HOSTS_VIEW, other) and permission in OF_HOSTS:
                    assert other not in answer.text, where
                    assert stage.ids[other] not in answer.text, where
    assert walked > 40


def test_the_matrix_finds_a_hole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that forgets to ask whose eyes see the host is found: here all of them do."""
    monkeypatch.setattr(View, "sees", lambda view, host: True)
    with pytest.raises(AssertionError):
        test_every_route(stage, next(who for who in EVERYBODY if who.name == "viewer-prod"))


def test_absent_and_foreign_hosts_look_alike(stage: Stage) -> None:
    """The same answer, byte for byte but for the name that was asked for, and no hint that gives the other away."""
    token = stage.tokens["viewer-prod"]
    for path in ("", "/latest", "/processes", "/processes/events"):
        foreign = ask(stage.server, "GET", f"/api/v1/hosts/{DEV}{path}", token)
        absent = ask(stage.server, "GET", f"/api/v1/hosts/xeta-of-dev{path}", token)
        assert foreign.text.replace(DEV, "?") == absent.text.replace("xeta-of-dev", "?")
        assert foreign.status_code == 404


@pytest.mark.parametrize("who", SHARED)
def test_every_topic(stage: Stage, who: Who) -> None:
    """Subscriptions are allowed as requests are, and nothing of a host outside the scope is ever sent."""
    viewer_messages = {one.permission for one in MESSAGES.values() if one.direction is Direction.SERVER_TO_VIEWER}
    assert viewer_messages <= {*TOPIC_PERMISSIONS.values(), Permission.LIVE_CONNECT}
    with Peer(stage.server.url, "/api/v1/live", stage.tokens[who.name]) as viewer:
        number, expected = 0, {}
        for topic, permission in TOPIC_PERMISSIONS.items():
            hosts = (PROD, DEV) if topic in (Topic.METRICS, Topic.PROCESSES) else (None,)
            for host in hosts:
                number += 1
                expected[number] = who.holds(permission, host)
                after = 0 if topic is Topic.EVENTS else None
                viewer.send("live.subscribe", Subscribe(subscription=number, topic=topic, host=host, after=after))
        heard = []
        while expected:
            message = viewer.receive()
            heard.append(message)
            if isinstance(message.payload, Subscribed):
                assert expected.pop(message.payload.subscription)
            elif isinstance(message.payload, Problem) and message.payload.subscription in expected:
                assert not expected.pop(message.payload.subscription)
        for agent in stage.agents.values():
            agent.samples(0.5)
        viewer.send("live.unsubscribe", {"subscription": 99})
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            try:
                heard.append(viewer.receive(0.3))
            except TimeoutError:
                break
        told = repr(heard)
        for host in (PROD, DEV):
            if not who.holds(Permission.HOSTS_VIEW, host):
                assert stage.ids[host] not in told
                assert host not in told.replace(f"'{host}'", "")


def metrics_heard(viewer: Peer, agent: AgentPeer, seconds: float) -> int:
    """How many updates come within some seconds while the agent sends a row whenever nothing comes for a while."""
    heard, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        agent.samples(0.5)
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < deadline:
                heard += isinstance(viewer.receive(0.1).payload, MetricsUpdate)
    return heard


def test_a_role_that_is_taken_away_ends_open_streams(stage: Stage) -> None:
    """The binding is removed while somebody looks: within five seconds the stream has ended, and says so (F22)."""
    binding = make_user(stage.server, "leaving", "viewer", "env=prod")
    token = session_of(stage.server, "leaving")
    with Peer(stage.server.url, "/api/v1/live", token) as viewer:
        viewer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host=PROD, interval_ms=100))
        viewer.expect(Subscribed)
        assert metrics_heard(viewer, stage.agents[PROD], 1) > 0
        within(stage.server, stage.server.services.roles.unbind(LOCAL_OWNER, binding))
        began = time.monotonic()
        assert viewer.expect(Problem, 5).code == "withdrawn"
        assert time.monotonic() - began < 5
        assert metrics_heard(viewer, stage.agents[PROD], 1) == 0
    assert ask(stage.server, "GET", "/api/v1/hosts", token).status_code == 403


def test_a_label_that_changes_ends_open_streams(stage: Stage) -> None:
    """A host that leaves the scope is gone from the eyes at once."""
    make_user(stage.server, "watching", "viewer", "env=prod")
    with Peer(stage.server.url, "/api/v1/live", session_of(stage.server, "watching")) as viewer:
        viewer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host=PROD, interval_ms=100))
        viewer.expect(Subscribed)
        path = f"/api/v1/hosts/{PROD}"
        assert stage.server.http.patch(path, json={"labels": {"env": "moved"}}).status_code == 200
        try:
            assert viewer.expect(Problem, 5).code == "withdrawn"
        finally:
            assert stage.server.http.patch(path, json={"labels": {"env": "prod"}}).status_code == 200


def test_a_session_that_ends_closes_its_sockets(stage: Stage) -> None:
    """Revoked, or its user disabled: the socket is closed within five seconds."""
    make_user(stage.server, "gone", "viewer")
    services = stage.server.services
    with Peer(stage.server.url, "/api/v1/live", session_of(stage.server, "gone")) as viewer:
        within(stage.server, services.sessions.end("test", user_id=within(stage.server, services.users.get("gone")).id))
        code, reason, _ = viewer.wait_closed(5)
        assert (code, "over" in reason) == (1008, True)


def test_a_role_on_labels_does_not_reach_beyond(stage: Stage) -> None:
    """An operator of dev cannot relabel a host of dev into prod, nor bind anybody, nor enrol machines anywhere."""
    token = stage.tokens["operator-dev"]
    path = f"/api/v1/hosts/{DEV}"
    moved = ask(stage.server, "PATCH", path, token, json={"labels": {"env": "prod"}})
    assert (moved.status_code, moved.json()["code"]) == (403, "outside_scope")
    assert ask(stage.server, "PATCH", path, token, json={"labels": {"note": "x"}}).status_code == 200
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{PROD}", token, json={}).status_code == 404
    assert ask(stage.server, "POST", "/api/v1/agents/enrolments", token, json={}).status_code == 403


def test_an_admin_of_a_label_grants_only_there(stage: Stage) -> None:
    """Rights over roles hold everywhere or not at all: an admin of one label is none of users and roles."""
    token = session_of(stage.server, "admin-prod", stepped_up=True)
    for path, body in (
        ("/api/v1/bindings", {"user": "nobody", "role": "viewer", "scope": "env=dev"}),
        ("/api/v1/roles", {"name": "mine", "permissions": ["hosts:view"]}),
        ("/api/v1/users/", {"name": "friend"}),
    ):
        assert ask(stage.server, "POST", path, token, json=body).status_code == 403


def test_elevation(stage: Stage) -> None:
    """Asked for by one, given by another, for a while; nobody decides on their own; it acts at once, and can end."""
    make_user(stage.server, "asking", "viewer", "env=prod")
    make_user(stage.server, "deciding", "admin")
    asking, deciding = (session_of(stage.server, name, stepped_up=True) for name in ("asking", "deciding"))
    body = {"role": "operator", "scope": "env=prod", "reason": "incident 4711", "duration_s": 600}
    asked = ask(stage.server, "POST", "/api/v1/elevations/", asking, json=body).json()
    own = ask(stage.server, "POST", "/api/v1/elevations/", deciding, json=body).json()
    decision = {"json": {"approve": True}}
    path = "/api/v1/elevations/{}/decision"
    assert ask(stage.server, "POST", path.format(asked["id"]), asking, **decision).status_code == 403
    refused = ask(stage.server, "POST", path.format(own["id"]), deciding, **decision)
    assert refused.json()["code"] == "own_request"
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{PROD}", asking, json={}).status_code == 403
    given = ask(stage.server, "POST", path.format(asked["id"]), deciding, **decision)
    assert given.json()["state"] == "approved"
    assert ask(stage.server, "POST", path.format(asked["id"]), deciding, **decision).json()["code"] == "decided"
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{PROD}", asking, json={}).status_code == 200
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{DEV}", asking, json={}).status_code == 404
    assert ask(stage.server, "DELETE", f"/api/v1/elevations/{asked['id']}", asking).status_code == 204
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{PROD}", asking, json={}).status_code == 403


def test_a_request_of_somebody_who_is_gone_is_not_granted(stage: Stage) -> None:
    """Disabled while the request waits: nobody can grant it, and it gives nothing; the one who would decide loses the
    right meanwhile: neither."""
    make_user(stage.server, "leaver", "viewer", "env=prod")
    make_user(stage.server, "waiter", "viewer", "env=prod")
    bound = make_user(stage.server, "decider", "admin")
    leaver, waiter, decider = (
        session_of(stage.server, one, stepped_up=True) for one in ("leaver", "waiter", "decider")
    )
    body = {"role": "operator", "scope": "env=prod", "reason": "incident 4712", "duration_s": 600}
    of_leaver, of_waiter = (
        ask(stage.server, "POST", "/api/v1/elevations/", one, json=body).json()["id"] for one in (leaver, waiter)
    )
    assert stage.server.http.patch("/api/v1/users/leaver", json={"disabled": True}).status_code == 200
    path, decision = "/api/v1/elevations/{}/decision", {"json": {"approve": True}}
    assert ask(stage.server, "POST", path.format(of_leaver), decider, **decision).status_code == 409
    within(stage.server, stage.server.services.roles.unbind(LOCAL_OWNER, bound))
    assert ask(stage.server, "POST", path.format(of_waiter), decider, **decision).status_code == 403
    assert ask(stage.server, "PATCH", f"/api/v1/hosts/{PROD}", waiter, json={}).status_code == 403


def test_tokens_never_may_more_than_their_owner(stage: Stage) -> None:
    """Bounded when made, and by what the owner may at the time; made with a second factor only; no step-up for them."""
    binding = make_user(stage.server, "maker", "operator")
    weak = session_of(stage.server, "maker", factors=frozenset({"pwd"}), stepped_up=True)
    strong = session_of(stage.server, "maker", stepped_up=True)
    body: dict[str, Any] = {"name": "script", "permissions": ["hosts:view"], "scope": "env=prod"}
    assert ask(stage.server, "POST", "/api/v1/tokens/", weak, json=body).json()["code"] == "mfa_required"
    made = ask(stage.server, "POST", "/api/v1/tokens/", strong, json=body).json()
    token = made["token"]
    assert token.startswith("cct_")
    assert [one["name"] for one in ask(stage.server, "GET", "/api/v1/hosts", token).json()] == [PROD]
    assert ask(stage.server, "GET", f"/api/v1/hosts/{DEV}", token).status_code == 404
    for method, path in (("GET", "/api/v1/events/"), ("PATCH", f"/api/v1/hosts/{PROD}"), ("POST", "/api/v1/tokens/")):
        options: dict[str, Any] = {} if method == "GET" else {"json": {}}
        assert ask(stage.server, method, path, token, **options).status_code == 403, (method, path)
    within(stage.server, stage.server.services.roles.unbind(LOCAL_OWNER, binding))
    assert ask(stage.server, "GET", "/api/v1/hosts", token).status_code == 403
    assert ask(stage.server, "DELETE", f"/api/v1/tokens/{made['details']['id']}", strong).status_code == 204
    wait_until(lambda: ask(stage.server, "GET", "/api/v1/account", token).status_code == 401, "it is worth nothing")


def test_danger_needs_a_fresh_proof(stage: Stage) -> None:
    """Nothing dangerous with a session that was proven long ago, nor with any token of a program."""
    make_user(stage.server, "careful", "admin")
    old = session_of(stage.server, "careful")
    for method, path, body in (
        ("POST", "/api/v1/users/", {"name": "x"}),
        ("POST", "/api/v1/bindings", {"user": "nobody", "role": "viewer"}),
        ("DELETE", f"/api/v1/hosts/{PROD}", None),
        ("POST", "/api/v1/tokens/", {"name": "x"}),
    ):
        answer = ask(stage.server, method, path, old, **({"json": body} if body is not None else {}))
        assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required"), path


def test_an_elevation_does_not_outlive_itself(stage: Stage) -> None:
    """An admin for a while makes nobody an admin for longer, by binding, role or token."""
    services = stage.server.services
    make_user(stage.server, "shortly")
    new = NewBinding(user="shortly", role="admin", expires_in_s=600)
    within(stage.server, services.roles.bind(LOCAL_OWNER, new))
    token = session_of(stage.server, "shortly", stepped_up=True)
    body = {"user": "nobody", "role": "viewer", "scope": "env=none"}
    for longer in ({}, {"expires_in_s": 6_000}):
        answer = ask(stage.server, "POST", "/api/v1/bindings", token, json=body | longer)
        assert (answer.status_code, answer.json()["code"]) == (403, "grants_more")
    assert ask(stage.server, "POST", "/api/v1/bindings", token, json=body | {"expires_in_s": 60}).status_code == 201


def test_a_role_in_use_stays_as_it_is(stage: Stage) -> None:
    """Taking away a role that denies would give; making it anew with more would give to all who have it."""
    services = stage.server.services
    make_user(stage.server, "denied", "viewer")
    within(stage.server, services.roles.create(LOCAL_OWNER, NewRole(name="blind", permissions=["hosts:view"])))
    new = NewBinding(user="denied", role="blind", scope="env=prod", effect=Effect.DENY)
    binding = within(stage.server, services.roles.bind(LOCAL_OWNER, new)).id
    token = session_of(stage.server, "denied")
    assert [one["name"] for one in ask(stage.server, "GET", "/api/v1/hosts", token).json()] == [DEV]
    assert ask(stage.server, "GET", "/api/v1/account", token).status_code == 200
    admin = session_of(stage.server, "admin-all", stepped_up=True)
    refused = ask(stage.server, "DELETE", "/api/v1/roles/blind", admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "role_in_use")
    within(stage.server, services.roles.unbind(LOCAL_OWNER, binding))
    assert ask(stage.server, "DELETE", "/api/v1/roles/blind", admin).status_code == 204


def test_sockets_of_tokens_end_with_them(stage: Stage) -> None:
    """The owner of a token loses a role: its stream is withdrawn; the token is revoked: the socket is closed."""
    binding = make_user(stage.server, "robot-maker", "operator")
    strong = session_of(stage.server, "robot-maker", stepped_up=True)
    made = ask(stage.server, "POST", "/api/v1/tokens/", strong, json={"name": "robot"}).json()
    with Peer(stage.server.url, "/api/v1/live", made["token"]) as viewer:
        viewer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host=PROD, interval_ms=100))
        viewer.expect(Subscribed)
        began = time.monotonic()
        within(stage.server, stage.server.services.roles.unbind(LOCAL_OWNER, binding))
        assert viewer.expect(Problem, 5).code == "withdrawn"
        assert ask(stage.server, "DELETE", f"/api/v1/tokens/{made['details']['id']}", strong).status_code == 204
        assert viewer.wait_closed(5)[0] == 1008
        assert time.monotonic() - began < 10
