"""`factor_for_all`: a password alone opens nothing but one's own account, on any route and on the socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cybercorp.client.addresses import LIVE_PATH
from tests.attacks.people import ask, make_user, session_of
from tests.integration.serving import ServerThread
from tests.integration.test_server_access import handshake

PASSWORD_ALONE = frozenset({"pwd"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("all"), factor_for_all=True) as made:
        make_user(made, "vi", "viewer")
        yield made


def test_without_a_factor(server: ServerThread) -> None:
    """Every route of a looker says what is missing; the account, where it is set up, is open."""
    token = session_of(server, "vi", factors=PASSWORD_ALONE, stepped_up=True)
    for path in ("/api/v1/hosts", "/api/v1/events", "/api/v1/server"):
        refused = ask(server, "GET", path, token)
        assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required"), path
    status, problem = handshake(server, LIVE_PATH, token)
    assert (status, problem.code) == (403, "mfa_required")
    assert ask(server, "GET", "/api/v1/account", token).json()["permissions"] == ["account:use"]
    assert ask(server, "POST", "/api/v1/mfa/totp", token, json={"name": "phone"}).status_code == 201


@pytest.mark.parametrize("factor", ["totp", "passkey"])
def test_with_one(server: ServerThread, factor: str) -> None:
    """As everywhere."""
    token = session_of(server, "vi", factors=PASSWORD_ALONE | {factor})
    assert ask(server, "GET", "/api/v1/hosts", token).status_code == 200


def test_the_local_owner_is_asked_nothing(server: ServerThread) -> None:
    """Whoever can read the owner's file owns the process itself."""
    assert server.http.get("/api/v1/hosts").status_code == 200
