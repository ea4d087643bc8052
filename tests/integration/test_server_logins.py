"""Logging in over HTTP, with a real server: an owner makes the first admin, who goes on alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from tests.integration.serving import ServerThread

PASSWORD = "four unrelated words"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """One server; hashing a password costs little."""
    folder: Path = tmp_path_factory.mktemp("logins") / "data"
    with ServerThread(folder, password_memory_kib=19_456) as made:
        yield made


def call(server: ServerThread, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(
        method, f"{server.url}/api/v1{path}", headers=headers, trust_env=False, verify=False, **options
    )


def login(server: ServerThread, name: str, **more: str) -> httpx.Response:
    return call(server, "POST", "/login", json={"name": name, "password": PASSWORD, "client": "cli", **more})


def make(server: ServerThread, name: str, role: str | None = None) -> None:
    answer = call(server, "POST", "/users/", server.token, json={"name": name, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text


def test_the_first_admin(server: ServerThread) -> None:
    """Made by the local owner; may nothing dangerous before the second factor is set up, then everything."""
    make(server, "root", "admin")
    tokens = login(server, "root").json()
    me = call(server, "GET", "/account", tokens["access_token"]).json()
    assert (me["name"], me["kind"], me["factors"], me["user"]["roles"]) == ("root", "user", ["pwd"], ["admin"])
    refused = call(server, "POST", "/users/", tokens["access_token"], json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required")
    setup = call(server, "POST", "/mfa/totp", tokens["access_token"], json={"name": "phone"}).json()
    app = pyotp.TOTP(setup["secret"])
    assert setup["uri"].startswith("otpauth://totp/CyberCorp:root?secret=")
    path = f"/mfa/totp/{setup['factor_id']}/confirm"
    confirmed = call(server, "POST", path, tokens["access_token"], json={"code": app.at(time.time() - 30)})
    assert len(confirmed.json()["codes"]) == 10
    made = call(server, "POST", "/users/", tokens["access_token"], json={"name": "ada", "role": "viewer"})
    assert (made.status_code, made.json()["roles"]) == (201, ["viewer"])
    assert login(server, "root").json()["code"] == "mfa_needed"
    again = login(server, "root", code=app.now())
    assert again.status_code == 200
    sessions = call(server, "GET", "/sessions/", again.json()["access_token"]).json()
    assert sorted(one["is_this"] for one in sessions) == [False, True]


def test_a_viewer_looks(server: ServerThread) -> None:
    """The roles are enforced on every route: looking is allowed, changing is not; logging out ends it."""
    make(server, "eve", "viewer")
    tokens = login(server, "eve").json()
    token = tokens["access_token"]
    assert call(server, "GET", "/hosts", token).status_code == 200
    for method, path in (("POST", "/agents/enrolments"), ("DELETE", "/hosts/x"), ("GET", "/users/")):
        refused = call(server, method, path, token, **({"json": {}} if method == "POST" else {}))
        assert refused.status_code == 403, (method, path, refused.text)
    renewed = call(server, "POST", "/login/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200
    assert call(server, "POST", "/logout", renewed.json()["access_token"]).status_code == 204
    assert call(server, "GET", "/account", token).status_code == 401


def test_somebody_without_a_role_sees_nothing(server: ServerThread) -> None:
    """They may log in and look after their account; that is all."""
    make(server, "bob")
    token = login(server, "bob").json()["access_token"]
    assert call(server, "GET", "/account", token).status_code == 200
    assert call(server, "GET", "/hosts", token).status_code == 403


def test_wrong_credentials(server: ServerThread) -> None:
    """The same problem for who is unknown and who mistyped, with a hint for people."""
    make(server, "dan")
    answers = [
        call(server, "POST", "/login", json={"name": name, "password": "wrong"}).json() for name in ("dan", "nobody")
    ]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "wrong_credentials"


def test_too_many_failures_say_when_to_come_again(server: ServerThread) -> None:
    """429 with Retry-After."""
    make(server, "fay")
    for _ in range(11):
        answer = call(server, "POST", "/login", json={"name": "fay", "password": "wrong"})
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 900
    assert answer.json()["retry_after_s"] > 0


def test_nothing_secret_is_in_the_files(server: ServerThread) -> None:
    """No password and no token in the database, the audit file or anywhere else in the data folder."""
    make(server, "gus", "viewer")
    tokens = login(server, "gus").json()
    setup = call(server, "POST", "/mfa/totp", tokens["access_token"], json={}).json()
    renewed = call(server, "POST", "/login/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    markers = [PASSWORD, tokens["access_token"], tokens["refresh_token"], renewed["refresh_token"], setup["secret"]]
    read = 0
    for path in server.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            read += len(data)
            assert not [marker for marker in markers if marker.encode() in data], path
    assert read > 10_000
