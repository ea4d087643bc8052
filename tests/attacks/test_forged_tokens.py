"""JWT confusion: forged, malformed and misused access tokens, each refused on HTTP and on WebSockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import InvalidStatus

from cybercorp.client.synchronous import Client
from cybercorp.security.tokens import TokenKind, new_token
from cybercorp.store.records.signing_keys import Purpose
from tests.integration.serving import Peer, ServerThread

WORDS = "correct horse battery staple"
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group (RFC 8032, section 5.1)
Values = dict[str, Any]


class Known(NamedTuple):
    """A token that is good, what it is made of, and the key that signed it: what an attacker would like to have."""

    token: str
    refresh: str
    header: Values
    claims: Values
    private: Ed25519PrivateKey


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with ServerThread(tmp_path_factory.mktemp("forged"), password_memory_kib=19_456) as running:
        yield running


@pytest.fixture(scope="module")
def known(server: ServerThread) -> Known:
    assert server.http.post("/api/v1/users", json={"name": "ada", "password": WORDS}).status_code == 201
    tokens = httpx.post(f"{server.url}/api/v1/login", json={"name": "ada", "password": WORDS}).json()
    header, claims, _ = tokens["access_token"].split(".")
    services = server.services
    (row,) = server.run(services.records.signing_keys.list_(Purpose.ACCESS, services.vault))
    private = Ed25519PrivateKey.from_private_bytes(row.private_key)
    return Known(tokens["access_token"], tokens["refresh_token"], read(header), read(claims), private)


def read(part: str) -> Values:
    found: Values = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(known: Known, header: object = None, claims: object = None, key: Ed25519PrivateKey | None = None) -> str:
    """A token with the server's own signature unless another key is given."""
    text = f"{part(known.header if header is None else header)}.{part(known.claims if claims is None else claims)}"
    return f"{text}.{part((key or known.private).sign(text.encode()))}"


def without(values: Values, name: str) -> Values:
    return {key: value for key, value in values.items() if key != name}


def forgeries(known: Known) -> Iterator[tuple[str, str]]:
    """Name and token."""
    header, claims, private = known.header, known.claims, known.private
    stranger = Ed25519PrivateKey.generate()
    head, body, signature = known.token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        unsigned = f"{part({**header, 'alg': algorithm})}.{body}"
        yield f"algorithm {algorithm!r} unsigned", f"{unsigned}."
        yield f"algorithm {algorithm!r} signed", f"{unsigned}.{signature}"
    for name, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        for what, secret in (("raw", public.public_bytes_raw()), ("pem", pem), ("empty", b"")):
            text = f"{part({**header, 'alg': name})}.{body}"
            yield (
                f"{name} keyed with the public key, {what}",
                f"{text}.{part(hmac.digest(secret, text.encode(), digest))}",
            )
    text = f"{part({**header, 'alg': 'ES256'})}.{body}"
    yield "ES256", f"{text}.{part(ec.generate_private_key(ec.SECP256R1()).sign(text.encode(), ec.ECDSA(SHA256())))}"
    text = f"{part({**header, 'alg': 'RS256'})}.{body}"
    yield "RS256", f"{text}.{part(rsa.generate_private_key(65537, 2048).sign(text.encode(), PKCS1v15(), SHA256()))}"
    yield "signed by a stranger", signed(known, key=stranger)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(stranger.public_key().public_bytes_raw())}
    for name, value in (
        ("jwk", jwk),
        ("jku", "https://evil.example/keys"),
        ("x5u", "https://evil.example/cert"),
        ("x5c", [part(b"certificate")]),
        ("crit", ["exp"]),
        ("b64", False),
        ("zip", "DEF"),
        ("cty", "JWT"),
    ):
        yield f"header {name}, by a stranger", signed(known, {**header, name: value}, key=stranger)
        yield f"header {name}, by us", signed(known, {**header, name: value})
    kids: list[object] = ["", "unknown", "../../etc/passwd", "' OR 1=1 --", "\x00", None, 1, [header["kid"]], {}, True]
    for kid in kids:
        yield f"kid {kid!r}", signed(known, {**header, "kid": kid}, key=stranger)
    for name in ("alg", "typ", "kid"):
        yield f"no {name}", signed(known, without(header, name))
    for typ in ("JWT", "refresh+jwt", "application/at+jwt", "AT+JWT", None, 1):
        yield f"typ {typ!r}", signed(known, {**header, "typ": typ})
    for name in claims:
        yield f"no {name}", signed(known, claims=without(claims, name))
        yield f"{name} is null", signed(known, claims={**claims, name: None})
        yield f"{name} is a list", signed(known, claims={**claims, name: [claims[name], 1]})
    now = int(time.time())
    changed: list[Values] = [
        {"exp": now - 1},
        {"exp": 0},
        {"exp": -1},
        {"exp": str(now + 100)},
        {"exp": now + 100.5},
        {"exp": True},
        {"exp": 1e308},
        {"exp": 10**30},
        {"exp": now + 86_400},
        {"iat": now + 3_600, "exp": now + 3_700},
        {"iat": now - 86_400, "exp": now + 100},
        {"nbf": now + 3_600},
        {"iss": "evil"},
        {"iss": ""},
        {"aud": "another-installation"},
        {"aud": ""},
        {"sub": "user_nobody"},
        {"sub": ""},
        {"sub": 1},
        {"sid": "nothing"},
        {"sid": ""},
        {"sid": {"$ne": ""}},
    ]
    for one in changed:
        yield f"claims {one}", signed(known, claims={**claims, **one})
    yield "claims that are a list", signed(known, claims=[claims])
    yield "claims that are a text", signed(known, claims="claims")
    yield "claims that are nothing", signed(known, claims=b"")
    yield "claims that are no JSON", signed(known, claims=b"{")
    yield "claims that are no UTF-8", signed(known, claims=b'{"sub":"\xff"}')
    yield "claims that are NaN", signed(known, claims=json.dumps({**claims, "exp": float("nan")}).encode())
    yield "claims of 10,000 levels", signed(known, claims=b"[" * 5_000)
    yield "claims of nine kilobytes", signed(known, claims={**claims, "padding": "x" * 9_000})
    yield "a header that is a list", signed(known, header=[header])
    yield "a header that is nothing", signed(known, header=b"")
    yield "no signature", f"{head}.{body}."
    yield "half a signature", f"{head}.{body}.{signature[:40]}"
    yield "a longer signature", f"{head}.{body}.{part(raw + b'0')}"
    yield "a turned bit", f"{head}.{body}.{part(bytes([raw[0] ^ 1]) + raw[1:])}"
    yield "a signature that is another's", f"{head}.{part({**claims, 'jti': 'other'})}.{signature}"
    beyond = int.from_bytes(raw[32:], "little") + ORDER
    yield "a second signature of the same", f"{head}.{body}.{part(raw[:32] + beyond.to_bytes(32, 'little'))}"
    yield "four parts", f"{known.token}.{signature}"
    yield "five parts", f"{known.token}.{body}.{signature}"
    yield "two parts", f"{head}.{body}"
    yield "dots", ".."
    yield "a wrong alphabet", f"{head}.{body}.{'+/' * 43}"
    yield "a blank in it", f"{head}. {body}.{signature}"
    yield "a refresh token", known.refresh
    yield "a refresh token of nobody", new_token(TokenKind.REFRESH)
    yield "an API token of nobody", new_token(TokenKind.API)
    yield "a ceremony of nobody", new_token(TokenKind.CEREMONY)


def test_each_forgery_is_refused_on_both(server: ServerThread, known: Known, caplog: pytest.LogCaptureFixture) -> None:
    """401, or 431 where it is too long, on a route and in a handshake; the good one is good before and after."""
    tried = dict(forgeries(known))
    assert len(tried) >= 60
    good = {"Authorization": f"Bearer {known.token}"}
    accepted: list[str] = []
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/api/v1/account", headers=good).status_code == 200
        Peer(server.url, "/api/v1/live", known.token).close()
        for name, token in tried.items():
            answer = http.get("/api/v1/account", headers={"Authorization": f"Bearer {token}"})
            if answer.status_code != 401:
                accepted.append(f"HTTP {answer.status_code}: {name}")
            try:
                Peer(server.url, "/api/v1/live", token).close()
                accepted.append(f"WebSocket: {name}")
            except TimeoutError:
                accepted.append(f"WebSocket hangs: {name}")
            except InvalidStatus as refused:
                if refused.response.status_code not in (401, 431):
                    accepted.append(f"WebSocket {refused.response.status_code}: {name}")
        assert http.get("/api/v1/account", headers=good).status_code == 200
    assert accepted == []
    assert "without completing handshake" not in caplog.text


def test_no_forgery_is_in_the_trail_or_the_log(
    server: ServerThread, known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals are told, tokens are not."""
    with Client(server.url, token=server.token) as client:
        told = str(client.audit.list(limit=1000).records)
    assert "request.refuse" in told
    for secret in (known.token, known.refresh, known.token.split(".")[2]):
        assert secret not in told
        assert secret not in caplog.text


def test_a_token_elsewhere_than_in_its_header_is_none(server: ServerThread, known: Known) -> None:
    """Not in the address, not in a cookie, not in a subprotocol, not in a form."""
    with httpx.Client(base_url=server.url) as http:
        for answer in (
            http.get("/api/v1/account", params={"access_token": known.token}),
            http.get("/api/v1/account", headers={"Cookie": f"token={known.token}"}),
            http.get("/api/v1/account", headers={"Authorization": f"Basic {known.token}"}),
            http.get("/api/v1/account", headers={"Authorization": known.token}),
            http.get("/api/v1/account", headers={"X-Authorization": f"Bearer {known.token}"}),
        ):
            assert answer.status_code in (400, 401), answer.request.url
    for path in (f"/api/v1/live?token={known.token}", f"/api/v1/live?access_token={known.token}"):
        with pytest.raises(InvalidStatus):
            Peer(server.url, path, None)


def test_a_session_that_is_over_takes_its_token_along(server: ServerThread, known: Known) -> None:
    """Signed and in time, and worth nothing: rights and sessions are looked up."""
    bearer = {"Authorization": f"Bearer {known.token}"}
    assert httpx.post(f"{server.url}/api/v1/logout", headers=bearer).status_code < 300
    assert httpx.get(f"{server.url}/api/v1/account", headers=bearer).status_code == 401
