"""Each route that changes something, with a request that is good: not done while it cannot be written down, told when
it is done. A route that is not here fails the test.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyotp
import pytest
from litestar import Litestar

from cybercorp.client.synchronous import Client
from cybercorp.protocol.audit import AuditRecord, Decision, Outcome
from cybercorp.protocol.mfa import FactorKind
from cybercorp.protocol.passkeys import Ceremony, PasskeyLogin
from cybercorp.protocol.roles import NewApiToken, NewBinding, NewElevation, NewRole
from cybercorp.protocol.users import NewUser
from cybercorp.security.agent_keys import new_agent_key
from cybercorp.server.app import make_app
from tests.attacks.people import LOCAL_OWNER, ask, session_of, within
from tests.authenticator import Authenticator
from tests.integration.serving import ServerThread

PASSWORD, OTHER = "correct horse battery staple", "seven quiet purple lanterns"
SAFE = {"GET", "HEAD", "OPTIONS"}
SITE = "http://localhost:1"
_NUMBERS = itertools.count(1)


class Good(NamedTuple):
    """A request that would change something, by the owner where it has no token ("": by nobody)."""

    path: str
    body: Any = None
    token: str | None = None
    operation: str = ""


class Stage:
    """A server whose audit copy can be broken, and what requests are made of."""

    def __init__(self, server: ServerThread, copy: Path) -> None:
        self.server = server
        self._copy = copy
        self._kept = copy.with_suffix(".kept")

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """The disk of the second copy is full."""
        self._copy.rename(self._kept)
        self._copy.symlink_to("/dev/full")
        try:
            yield
        finally:
            self._copy.unlink()
            self._kept.rename(self._copy)

    def kept(self) -> dict[str, list[Any]]:
        """Every row of every table that is not of the trail or of events."""
        with contextlib.closing(sqlite3.connect(self.server.folder / "records.db")) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            told = ("audit", "events", "sqlite_")
            return {
                name: sorted(map(repr, database.execute(f'SELECT * FROM "{name}"')))
                for name in names
                if not name.startswith(told)
            }

    def owner(self, work: Any) -> Any:
        return within(self.server, work)

    def user(self, *, role: str = "admin", password: str | None = None) -> str:
        name = f"person{next(_NUMBERS)}"
        self.owner(self.server.services.users.create(LOCAL_OWNER, NewUser(name=name, password=password, role=role)))
        return name

    def session(self, name: str) -> str:
        return session_of(self.server, name, stepped_up=True)

    def host(self, **asked: Any) -> str:
        name = f"host{next(_NUMBERS)}"
        body = {"name": name, "public_key": new_agent_key().public}
        made = ask(self.server, "POST", "/api/v1/agents/enrol", self.server.enrolment(**asked), json=body)
        assert made.status_code == 201, made.text
        return name

    def passkey(self, name: str) -> Authenticator:
        """A passkey that this user has, set up as a browser does it."""
        device, token = Authenticator(SITE), self.session(name)
        ceremony = self.begin("/api/v1/mfa/passkeys", token, {"name": "ring"})
        sent = self.on_page(ceremony, device.create)
        assert ask(self.server, "POST", "/api/v1/mfa/passkeys/finish", token, json=sent).status_code == 200
        return device

    def begin(self, path: str, token: str | None, body: Any = None) -> Ceremony:
        answer = ask(self.server, "POST", path, token, **({} if body is None else {"json": body}))
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=Ceremony)

    def on_page(self, ceremony: Ceremony, use: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        passkeys = self.server.services.passkeys
        shown = self.owner(passkeys.options(ceremony.ticket, SITE, "127.0.0.1"))
        answer = ask(
            self.server,
            "POST",
            "/api/v1/passkeys/answer",
            None,
            json={"ticket": ceremony.ticket, "credential": use(shown.options)},
        )
        assert answer.status_code == 200, answer.text
        return {"ticket": ceremony.ticket, "secret": ceremony.secret, "code": answer.json()["code"]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("durable")
    copy = folder / "copy.jsonl"
    with ServerThread(folder / "data", password_memory_kib=64, audit_file=str(copy)) as server:
        within(server, server.services.authority.create(LOCAL_OWNER, ["fleet.test"]))
        yield Stage(server, copy)


def _login(stage: Stage) -> Good:
    return Good("/api/v1/login", {"name": stage.user(password=PASSWORD), "password": PASSWORD}, "", "login.password")


def _step_up(stage: Stage) -> Good:
    name = stage.user(password=PASSWORD)
    return Good("/api/v1/account/step-up", {"password": PASSWORD}, session_of(stage.server, name), "login.step_up")


def _password(stage: Stage) -> Good:
    token = stage.session(stage.user(password=PASSWORD))
    body = {"old_password": PASSWORD, "new_password": OTHER}
    return Good("/api/v1/account/password", body, token, "user.password")


def _passkey_login(stage: Stage) -> Good:
    device = stage.passkey(stage.user(password=PASSWORD))
    ceremony = stage.begin("/api/v1/login/passkey", None, msgspec.to_builtins(PasskeyLogin()))
    return Good("/api/v1/login/passkey/finish", stage.on_page(ceremony, device.get), "", "login.passkey")


def _passkey_step_up(stage: Stage) -> Good:
    name = stage.user(password=PASSWORD)
    device, token = stage.passkey(name), stage.session(name)
    ceremony = stage.begin("/api/v1/account/step-up/passkey", token)
    return Good("/api/v1/account/step-up/passkey/finish", stage.on_page(ceremony, device.get), token, "login.step_up")


def _passkey_new(stage: Stage) -> Good:
    token = stage.session(stage.user(password=PASSWORD))
    ceremony = stage.begin("/api/v1/mfa/passkeys", token, {"name": "ring"})
    body = stage.on_page(ceremony, Authenticator(SITE).create)
    return Good("/api/v1/mfa/passkeys/finish", body, token, "mfa.add")


def _totp(stage: Stage) -> Good:
    token = stage.session(stage.user(password=PASSWORD))
    setup = ask(stage.server, "POST", "/api/v1/mfa/totp", token, json={"name": "phone"}).json()
    code = pyotp.TOTP(setup["secret"]).now()
    return Good(f"/api/v1/mfa/totp/{setup['factor_id']}/confirm", {"code": code}, token, "mfa.add")


def _recovery_codes(stage: Stage) -> Good:
    name = stage.user(password=PASSWORD)
    stage.passkey(name)
    return Good("/api/v1/mfa/recovery-codes", None, stage.session(name), "mfa.recovery_codes")


def _factor(stage: Stage) -> Good:
    name = stage.user(password=PASSWORD)
    stage.passkey(name)
    token = stage.session(name)
    factors = ask(stage.server, "GET", "/api/v1/mfa", token).json()["factors"]
    (factor,) = (one["id"] for one in factors if one["kind"] == FactorKind.PASSKEY)
    return Good(f"/api/v1/mfa/{factor}", None, token, "mfa.remove")


def _enrol(stage: Stage) -> Good:
    body = {"name": f"host{next(_NUMBERS)}", "public_key": new_agent_key().public}
    return Good("/api/v1/agents/enrol", body, stage.server.enrolment(), "host.join")


def _binding(stage: Stage) -> Good:
    made = stage.owner(
        stage.server.services.roles.bind(LOCAL_OWNER, NewBinding(user=stage.user(role="viewer"), role="operator"))
    )
    return Good(f"/api/v1/bindings/{made.id}", None, None, "binding.remove")


def _elevation(stage: Stage) -> tuple[str, str]:
    token = stage.session(stage.user(role="viewer"))
    body = msgspec.to_builtins(NewElevation(role="operator", reason="incident", duration_s=600))
    made = ask(stage.server, "POST", "/api/v1/elevations", token, json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"]), token


def _new_elevation(stage: Stage) -> Good:
    body = {"role": "operator", "reason": "incident", "duration_s": 600}
    return Good("/api/v1/elevations", body, stage.session(stage.user(role="viewer")), "access.request")


def _withdraw(stage: Stage) -> Good:
    made, token = _elevation(stage)
    return Good(f"/api/v1/elevations/{made}", None, token, "access.cancel")


def _decide(stage: Stage) -> Good:
    made, _ = _elevation(stage)
    token = stage.session(stage.user())
    return Good(f"/api/v1/elevations/{made}/decision", {"approve": True}, token, "access.approve")


def _role(stage: Stage) -> Good:
    name = f"role{next(_NUMBERS)}"
    stage.owner(stage.server.services.roles.create(LOCAL_OWNER, NewRole(name=name, permissions=["hosts:view"])))
    return Good(f"/api/v1/roles/{name}", None, None, "role.remove")


def _session(stage: Stage) -> Good:
    name = stage.user()
    stage.session(name)
    sessions = stage.server.get("/api/v1/sessions", user=name)
    return Good(f"/api/v1/sessions/{sessions[0]['id']}", None, None, "session.revoke")


def _token(stage: Stage) -> Good:
    token = stage.session(stage.user())
    made = ask(stage.server, "POST", "/api/v1/tokens", token, json=msgspec.to_builtins(NewApiToken(name="t")))
    assert made.status_code == 201, made.text
    return Good(f"/api/v1/tokens/{made.json()['details']['id']}", None, token, "token.revoke")


def _logout(stage: Stage) -> Good:
    return Good("/api/v1/logout", None, stage.session(stage.user()), "session.logout")


def _new(path: str, operation: str, **body: Any) -> Callable[[Stage], Good]:
    return lambda stage: Good(path, {k: v() if callable(v) else v for k, v in body.items()}, None, operation)


def _fresh() -> str:
    return f"fresh{next(_NUMBERS)}"


GOOD: dict[tuple[str, str], Callable[[Stage], Good]] = {
    ("POST", "/api/v1/account/password"): _password,
    ("POST", "/api/v1/account/step-up"): _step_up,
    ("POST", "/api/v1/account/step-up/passkey/finish"): _passkey_step_up,
    ("POST", "/api/v1/agents/enrol"): _enrol,
    ("POST", "/api/v1/agents/enrolments"): _new("/api/v1/agents/enrolments", "enrolment.create"),
    ("POST", "/api/v1/bindings"): lambda stage: Good(
        "/api/v1/bindings", {"user": stage.user(role="viewer"), "role": "operator"}, None, "binding.create"
    ),
    ("DELETE", "/api/v1/bindings/{binding:str}"): _binding,
    ("POST", "/api/v1/certificate/renew"): _new("/api/v1/certificate/renew", "certificate.renew"),
    ("POST", "/api/v1/certificate/rotate"): _new("/api/v1/certificate/rotate", "certificate.rotate"),
    ("POST", "/api/v1/elevations"): _new_elevation,
    ("DELETE", "/api/v1/elevations/{elevation:str}"): _withdraw,
    ("POST", "/api/v1/elevations/{elevation:str}/decision"): _decide,
    ("PATCH", "/api/v1/hosts/{host:str}"): lambda stage: Good(
        f"/api/v1/hosts/{stage.host()}", {"labels": {"a": "b"}}, None, "host.change"
    ),
    ("DELETE", "/api/v1/hosts/{host:str}"): lambda stage: Good(
        f"/api/v1/hosts/{stage.host()}", None, None, "host.remove"
    ),
    ("POST", "/api/v1/hosts/{host:str}/approve"): lambda stage: Good(
        f"/api/v1/hosts/{stage.host()}/approve", None, None, "host.approve"
    ),
    ("POST", "/api/v1/hosts/{host:str}/retire"): lambda stage: Good(
        f"/api/v1/hosts/{stage.host()}/retire", None, None, "host.retire"
    ),
    ("POST", "/api/v1/keys/rotate"): _new("/api/v1/keys/rotate", "key.rotate"),
    ("POST", "/api/v1/login"): _login,
    ("POST", "/api/v1/login/passkey/finish"): _passkey_login,
    ("POST", "/api/v1/logout"): _logout,
    ("POST", "/api/v1/mfa/passkeys/finish"): _passkey_new,
    ("POST", "/api/v1/mfa/recovery-codes"): _recovery_codes,
    ("POST", "/api/v1/mfa/totp/{factor:str}/confirm"): _totp,
    ("DELETE", "/api/v1/mfa/{factor:str}"): _factor,
    ("POST", "/api/v1/roles"): _new("/api/v1/roles", "role.create", name=_fresh, permissions=["hosts:view"]),
    ("DELETE", "/api/v1/roles/{role:str}"): _role,
    ("DELETE", "/api/v1/sessions/{session:str}"): _session,
    ("POST", "/api/v1/tokens"): lambda stage: Good(
        "/api/v1/tokens", {"name": "t"}, stage.session(stage.user()), "token.create"
    ),
    ("DELETE", "/api/v1/tokens/{token:str}"): _token,
    ("POST", "/api/v1/users"): _new("/api/v1/users", "user.create", name=_fresh),
    ("DELETE", "/api/v1/users/{user:str}"): lambda stage: Good(
        f"/api/v1/users/{stage.user()}", None, None, "user.remove"
    ),
    ("PATCH", "/api/v1/users/{user:str}"): lambda stage: Good(
        f"/api/v1/users/{stage.user()}", {"disabled": True}, None, "user.change"
    ),
    ("DELETE", "/api/v1/users/{user:str}/mfa"): lambda stage: Good(
        f"/api/v1/users/{stage.user()}/mfa", None, None, "user.reset_factors"
    ),
}
# What is no change yet, or goes on what was written down already.
BEGINNINGS = {
    ("POST", "/api/v1/account/step-up/passkey"): "a ceremony that proves nothing until it is finished",
    ("POST", "/api/v1/login/passkey"): "a ceremony that proves nothing until it is finished",
    ("POST", "/api/v1/mfa/passkeys"): "a ceremony that proves nothing until it is finished",
    ("POST", "/api/v1/passkeys/answer"): "a step of a ceremony",
    ("POST", "/api/v1/passkeys/options"): "a step of a ceremony",
    ("POST", "/api/v1/mfa/totp"): "a factor that does not count until it is confirmed",
    ("POST", "/api/v1/login/refresh"): "the session was written down; a token that is used twice is, too",
}


def changing(server: ServerThread) -> set[tuple[str, str]]:
    """Method and path of every handler that may change something."""
    app: Any = make_app(server.services)
    while not isinstance(app, Litestar):
        app = app._app
    return {
        (str(method), route.path)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in set(getattr(handler, "http_methods", SAFE)) - SAFE
    }


def test_every_route_that_changes_something_is_here(stage: Stage) -> None:
    """Or is named with the reason why it changes nothing that must be told."""
    assert changing(stage.server) == GOOD.keys() | BEGINNINGS.keys()
    assert not GOOD.keys() & BEGINNINGS.keys()


# Some of them in the quick run, the others with the slow proofs.
QUICK = {"/api/v1/login", "/api/v1/agents/enrol", "/api/v1/users"}
ROUTES = [
    pytest.param(route, id=" ".join(route).replace("/api/v1", ""), marks=() if route[1] in QUICK else pytest.mark.slow)
    for route in GOOD
]


@pytest.mark.parametrize("route", ROUTES)
def test_what_cannot_be_written_is_not_done(stage: Stage, route: tuple[str, str]) -> None:
    """503 with words for people, and all is as it was before; as soon as it can be told the same is done, and told."""
    good = GOOD[route](stage)
    before = stage.kept()
    with stage.broken():
        refused = send(stage, route[0], good)
        assert refused.status_code == 503, refused.text
        assert "audit" in refused.json()["detail"], refused.text
        assert refused.json()["hint"]
        after = stage.kept()
    for table in before:
        if table in SPENT.get(route, ()):
            continue
        assert after[table] == before[table], table
    good = GOOD[route](stage) if route in SPENT else good
    with Client(stage.server.url, token=stage.server.token) as client:
        page = client.audit.list(newest=True, limit=1)
        answer = send(stage, route[0], good)
        assert answer.status_code < 300, answer.text
        records = client.audit.list(after=page.records[-1].id, limit=1000).records
    assert told(records, good.operation), [(one.operation, str(one.outcome)) for one in records]


# A proof that was shown is spent, also where it came to nothing.
SPENT = {route: ("ceremonies",) for route in GOOD if "/passkey" in route[1]}


def send(stage: Stage, method: str, good: Good) -> Any:
    token = stage.server.token if good.token is None else good.token
    return ask(stage.server, method, good.path, token, **({} if good.body is None else {"json": good.body}))


def told(records: list[AuditRecord], operation: str) -> bool:
    """Whether it is an intent and what came of it, or one record of what is done at once.

    What the database had of the attempt before, and the copy had not, is taken back by a record that it failed.
    """
    mine = [one for one in records if one.operation == operation and one.decision is Decision.ALLOWED]
    outcomes = [one.outcome for one in mine]
    return outcomes[-2:] == [Outcome.INTENT, Outcome.DONE] or outcomes in (
        [Outcome.DONE],
        [Outcome.FAILED, Outcome.DONE],
    )
