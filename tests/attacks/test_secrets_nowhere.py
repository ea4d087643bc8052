"""A real server's day: log-ins, joins, tokens, sockets, mistakes and attacks. Afterwards no secret stands in a log, the
trail, the events, an answer or a file, and every line of the log is the server's own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from websockets.exceptions import InvalidStatus

from cybercorp.security.agent_keys import new_agent_key
from tests.attacks.searching import where_found
from tests.faults.servers import FaultyServer
from tests.integration.serving import Peer

pytestmark = pytest.mark.slow
PASSWORD, WRONG = "marker passphrase 57c3 quartz", "marker mistake 88d1 feldspar"
ENDS = "\r\n2026-01-01T00:00:00.000Z ERROR cybercorp.audit: forged\x1b[2J\x00\u2028forged"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w.]+: .+")


class Day:
    """The server, and every secret that was given out or in."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server
        self.secrets: dict[str, str] = {"password": PASSWORD, "wrong password": WRONG}
        self.http = httpx.Client(base_url=server.url, trust_env=False, timeout=20)
        self.owner = server.owner

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else self.owner if token is None else {}
        return self.http.request(method, path, headers={**headers, **options.pop("headers", {})}, **options)

    def good(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        answer = self.call(method, path, token, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def log_in(self, **more: str) -> dict[str, Any]:
        body = {"name": "ann", "password": PASSWORD, "client": "cli", **more}
        made = self.good("POST", "/api/v1/login", "", json=body)
        number = len(self.secrets)
        self.secrets |= {f"access {number}": made["access_token"], f"refresh {number}": made["refresh_token"]}
        return dict(made)


def live(day: Day) -> None:
    """Everything that a person, a program and an agent do with secrets."""
    day.good("POST", "/api/v1/users", json={"name": "ann", "password": PASSWORD, "role": "admin"})
    first = day.log_in()["access_token"]
    setup = day.good("POST", "/api/v1/mfa/totp", first, json={"name": "phone"})
    app = pyotp.TOTP(setup["secret"])
    day.secrets["totp"] = setup["secret"]
    made = day.good("POST", f"/api/v1/mfa/totp/{setup['factor_id']}/confirm", first, json={"code": app.now()})
    day.secrets |= {f"recovery {n}": code for n, code in enumerate(made["codes"])}
    tokens = day.log_in(code=made["codes"][0])
    renewed = day.good("POST", "/api/v1/login/refresh", "", json={"refresh_token": tokens["refresh_token"]})
    day.secrets |= {"access of refresh": renewed["access_token"], "refreshed": renewed["refresh_token"]}
    strong = renewed["access_token"]
    day.good("POST", "/api/v1/account/step-up", strong, json={"password": PASSWORD, "code": made["codes"][1]})
    day.secrets["api token"] = day.good("POST", "/api/v1/tokens", strong, json={"name": "nightly"})["token"]
    ceremony = day.good("POST", "/api/v1/mfa/passkeys", strong, json={"name": "ring"})
    day.secrets |= {"ticket": ceremony["ticket"], "ceremony": ceremony["secret"]}
    joins = day.good("POST", "/api/v1/agents/enrolments", json={"count": 3})["tokens"]
    day.secrets |= {f"enrolment {n}": one for n, one in enumerate(joins)}
    key = new_agent_key()
    day.secrets["agent key"] = key.private
    day.good("POST", "/api/v1/agents/enrol", joins[0], json={"name": "web-1", "public_key": key.public})
    for token in (day.secrets["api token"], strong):
        with Peer(day.server.url, "/api/v1/live", token):
            pass


def err(day: Day) -> None:
    """Secrets where none belongs, and hostile text wherever somebody can put some."""
    access, refresh = day.secrets["access of refresh"], day.secrets["refreshed"]
    hostile = ENDS.encode("unicode_escape").decode()
    for secret in (access, refresh, day.secrets["api token"], PASSWORD):
        for path in ("/api/v1/hosts", "/nowhere", "/api/v1/login", f"/api/v1/hosts/{secret}", f"/{secret}"):
            day.call("GET", path, params={"token": secret, "access_token": secret})
        day.call("GET", "/api/v1/hosts", headers={"Authorization": f"Basic {secret}", "Cookie": f"session={secret}"})
        day.call("GET", "/api/v1/hosts", f"{secret}x")
        day.call("POST", "/api/v1/users", json={"name": {"token": secret}})
        day.call("POST", "/api/v1/users", content=f'{{"name": "x", "password": "{secret}'.encode())
        day.call("POST", "/api/v1/login/refresh", "", json={"refresh_token": [secret]})
        with contextlib.suppress(InvalidStatus):
            Peer(day.server.url, f"/api/v1/live?token={secret}", None).close()
        with contextlib.suppress(InvalidStatus):
            Peer(day.server.url, "/api/v1/live", f"{secret}x").close()
    for name in ("ann", f"mallory{ENDS}", "=cmd|'/c calc'!A1", "a" * 5_000):
        body = {"name": name, "password": WRONG, "client": "cli"}
        day.call("POST", "/api/v1/login", "", json=body, headers={"User-Agent": hostile, "X-Forwarded-For": hostile})
    for text in (ENDS, "%0d%0aforged", "=1+1", "\x1b]0;forged\x07"):
        day.call("POST", "/api/v1/users", json={"name": text})
        day.call("POST", "/api/v1/roles", json={"name": text, "permissions": [text]})
        day.call("POST", "/api/v1/agents/enrolments", json={"labels": {text: text}})
        day.call(
            "POST", "/api/v1/agents/enrol", day.secrets["enrolment 1"], json={"name": text, "public_key": "ab" * 32}
        )
        day.call("PATCH", "/api/v1/hosts/web-1", json={"name": text})
        day.call("DELETE", f"/api/v1/hosts/{httpx.QueryParams({'x': text})}")
        day.call("GET", "/api/v1/metrics/query", params={"metric": text, "host": text})
    day.call("POST", "/api/v1/login/refresh", "", json={"refresh_token": refresh})
    day.call("POST", "/api/v1/login/refresh", "", json={"refresh_token": refresh})


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """A server that has seen it all and was stopped as SIGTERM does; `answers` hold what GET told its owner."""
    folder = tmp_path_factory.mktemp("day")
    server = FaultyServer(folder, {"CYBERCORP_SERVER_PASSWORD_MEMORY_KIB": "19456"})
    server.start()
    made = Day(server)
    try:
        live(made)
        err(made)
        document = made.good("GET", "/api/openapi.json")
        (folder / "answers").mkdir()
        for number, path in enumerate(document["paths"]):
            if "get" in document["paths"][path]:
                filled = re.sub(r"\{host\}", "web-1", path)
                filled = re.sub(r"\{user\}", "ann", filled)
                asked = {"metric": "*", "start_ms": 0, "since_ms": 0, "until_ms": 1, "all": True}
                answer = made.call("GET", filled, params=asked if "metrics" in path or "recordings" in path else {})
                (folder / "answers" / f"{number}").write_bytes(path.encode() + b"\n" + answer.content)
        trail = made.good("GET", "/api/v1/audit", params={"limit": 1000})
        events = made.good("GET", "/api/v1/events", params={"limit": 1000})
        (folder / "trail.json").write_text(json.dumps(trail))
        (folder / "events.json").write_text(json.dumps(events))
        made.http.close()
        server.stop()
        yield made
    finally:
        server.kill()


def test_no_secret_is_found(day: Day) -> None:
    """In no log, record, event, answer or file, in any spelling; but where a search must find it, it does."""
    assert len(day.secrets) > 25
    folder: Path = day.server.folder
    (folder / "planted").write_text(base64.b64encode(PASSWORD.encode()).decode())
    assert where_found(folder, [PASSWORD.encode()]) == ["planted"]
    (folder / "planted").unlink()
    for name, secret in day.secrets.items():
        assert where_found(folder, [secret.encode()]) == [], name


def test_an_answer_tells_no_credential(day: Day) -> None:
    """What opens something is told once, when it is made; afterwards neither it nor its hash."""
    answers = list((day.server.folder / "answers").iterdir())
    assert len(answers) > 25
    assert sum(b'"ann"' in path.read_bytes() for path in answers) >= 5
    for path in answers:
        text = path.read_text("utf-8", "replace")
        assert not re.search(r"cc[a-z]_[a-z2-7]{20}|\$argon2|BEGIN [A-Z ]*PRIVATE|\beyJ[\w-]{20}|sealed\d", text), text


def test_every_line_of_the_log_is_the_server_s(day: Day) -> None:
    """One record a line, nothing that a terminal obeys, nothing that somebody forged."""
    data = (day.server.folder / "server.log").read_bytes()
    lines = data.decode().split("\n")
    assert len(lines) > 2
    for line in filter(None, lines):
        assert LINE.fullmatch(line), line
        assert line.isprintable(), line
        assert not line.startswith("2026-01-01"), line


def test_every_line_of_the_trail_is_one_record(day: Day) -> None:
    """Also of who tried to forge one: their names are told, spelled out."""
    lines = (day.server.data_dir / "audit.jsonl").read_bytes().split(b"\n")
    told = [json.loads(line) for line in filter(None, lines)]
    assert all(len(one) == 1 for one in told)
    names = {one["record"]["target"] for one in told if "record" in one}
    assert any("mallory" in name for name in names)
    assert all(name.isprintable() for name in names)
