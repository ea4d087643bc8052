"""What a request may not claim: to be on this machine when a proxy passed it on; to change things from a wall."""

from collections.abc import Iterator

import httpx
import pytest

from cybercorp.protocol.logins import ClientType
from cybercorp.server.api.guards import ANONYMOUS_REQUESTS
from tests.attacks.people import ask, make_user, session_of
from tests.integration.serving import ServerThread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("places")) as running:
        make_user(running, "wall", "admin")
        yield running


def through_proxy(server: ServerThread, method: str, path: str, header: str, said: str) -> httpx.Response:
    """As a proxy on this machine passes a request on, with the owner's token."""
    headers = {"Authorization": f"Bearer {server.token}", header: said}
    return httpx.request(method, server.url + path, headers=headers, trust_env=False, verify=False, timeout=20)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
    ],
)
def test_behind_a_proxy_on_this_machine_nobody_is_local(server: ServerThread, header: str, said: str) -> None:
    """Also where nobody set `trusted_proxies`: the owner's token is refused, and says what to do."""
    assert ask(server, "GET", "/api/v1/account", server.token).status_code == 200
    answer = through_proxy(server, "GET", "/api/v1/account", header, said)
    assert (answer.status_code, answer.json()["code"]) == (403, "local_only")


def test_strangers_behind_a_proxy_on_this_machine_are_counted(server: ServerThread) -> None:
    """This machine's own requests without a token are not, so that none of its programs is kept out."""
    path = "/passkey"
    said = {"X-Forwarded-For": "203.0.113.9"}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        found = {client.get(path, headers=said).status_code for _ in range(ANONYMOUS_REQUESTS.amount + 60)}
        assert found == {200, 429}
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/account/password", {"old_password": "x", "new_password": "y"}),
        ("POST", "/api/v1/elevations", {"role": "operator", "reason": "why not"}),
        ("DELETE", "/api/v1/elevations/elevation_x", None),
        ("DELETE", "/api/v1/tokens/token_x", None),
        ("POST", "/api/v1/mfa/totp", {"name": "phone"}),
        ("POST", "/api/v1/mfa/passkeys", {"name": "key"}),
        ("POST", "/api/v1/mfa/recovery-codes", None),
        ("DELETE", "/api/v1/mfa/factor_x", None),
        ("POST", "/api/v1/account/step-up", {"password": "x"}),
        ("POST", "/api/v1/account/step-up/passkey", None),
    ],
)
def test_a_wallboard_only_looks(server: ServerThread, method: str, path: str, body: dict[str, str] | None) -> None:
    """Its token is kept for thirty days where many pass by: it changes nothing of its account either."""
    token = session_of(server, "wall", client=ClientType.WALLBOARD)
    options = {"json": body} if body is not None else {}
    answer = ask(server, method, path, token, **options)
    assert (answer.status_code, answer.json()["code"]) == (403, "looks_only")


def test_a_wallboard_logs_out(server: ServerThread) -> None:
    """It looks, lists its sessions, ends one of them, and ends itself."""
    token, other = (session_of(server, "wall", client=ClientType.WALLBOARD) for _ in range(2))
    assert ask(server, "GET", "/api/v1/account", token).status_code == 200
    before = next(one for one in ask(server, "GET", "/api/v1/sessions/", other).json() if one["is_this"])
    assert ask(server, "DELETE", f"/api/v1/sessions/{before['id']}", token).status_code == 204
    assert ask(server, "POST", "/api/v1/logout", token).status_code == 204
    assert ask(server, "GET", "/api/v1/account", token).status_code == 401
