"""Logging in at a real terminal: passwords are not shown, codes are asked for, danger asks again."""

from __future__ import annotations

import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyotp
import pytest

from tests.e2e.person import PASSWORD, Person
from tests.integration.serving import ServerThread


@pytest.fixture
def ada(tmp_path: Path) -> Iterator[Person]:
    """An admin who has an account and nothing else."""
    with ServerThread(tmp_path / "server", password_memory_kib=19_456) as server:
        body = {"name": "ada", "password": PASSWORD, "role": "admin"}
        assert server.http.post("/api/v1/users/", json=body).status_code == 201
        yield Person(tmp_path / "home", server)


def test_from_the_first_log_in_to_the_last(ada: Person) -> None:
    """Log in, set up an app from the drawn code, log in with a code, be asked again before danger, log out."""
    child = ada.login("ada")
    child.expect("Logged in to .* as ada")
    child.expect("cybercorp mfa add")
    child.expect(pexpect.EOF)
    assert PASSWORD not in child.before
    secret = set_up_totp(ada)
    session = ada.home / "config" / "sessions" / f"127-0-0-1-{ada.server.port}.json"
    assert stat.S_IMODE(session.stat().st_mode) == 0o600
    assert ada.read("logout").startswith("Logged out")
    assert not session.exists()
    child = ada.login("ada")
    child.expect("Code of the authenticator app, or a recovery code: ")
    child.sendline(secret.at(time.time() + 30))  # the app's clock is ahead: refused, and asked for anew by hand
    child.expect("error: This code is not right")
    child.expect(pexpect.EOF)
    child = ada.login("ada")
    child.expect("Code of the authenticator app, or a recovery code: ")
    child.sendline(secret.now())
    child.expect("Logged in to .* as ada")
    child.expect(pexpect.EOF)
    assert "totp" in ada.read("whoami")


def set_up_totp(person: Person) -> pyotp.TOTP:
    """As a person does who types the secret; the code of half a minute ago is used, so that the next one is fresh."""
    child = person.run("mfa", "add", "--name", "phone")
    child.expect("type the secret: ([A-Z2-7 ]+)")
    drawn, secret = child.before, child.match.group(1).replace(" ", "")
    lines = [line for line in drawn.splitlines() if "█" in line or "▀" in line]
    assert len(lines) >= 15
    assert all("\x1b[38;5;231;48;5;16m" in line for line in lines)  # an app reads it on a light terminal too
    app = pyotp.TOTP(secret)
    child.expect("The six digits it shows: ")
    child.sendline("000000")
    child.expect("This code is not right")
    child.expect("The six digits it shows: ")
    child.sendline(app.at(time.time() - 30))
    child.expect("Recovery codes")
    child.expect(pexpect.EOF)
    assert len(re.findall(r"^\d[a-z2-9]{5}-[a-z2-9]{5}-[a-z2-9]{5}\r?$", child.before, re.MULTILINE)) == 10
    return app


@pytest.mark.slow
def test_danger_asks_again(ada: Person) -> None:
    """Five minutes after the log-in a change of users wants password and code; a wrong password changes nothing."""
    ada.login("ada").expect(pexpect.EOF)
    app = set_up_totp(ada)
    forget_step_up(ada)
    child = ada.run("users", "create", "eve", "--service")
    child.expect("proof that it is you")
    child.expect("Password: ")
    child.sendline("a wrong password")
    child.expect("Code of the authenticator app")
    child.sendline("")
    child.expect("The name or the password is wrong")
    child.expect(pexpect.EOF)
    child = ada.run("users", "create", "eve", "--service")
    child.expect("Password: ")
    child.sendline(PASSWORD)
    child.expect("Code of the authenticator app")
    child.sendline(app.now())
    child.expect("eve is made")
    child.expect(pexpect.EOF)


@pytest.mark.slow
def test_what_was_ended_elsewhere_is_forgotten_here(ada: Person) -> None:
    """A session that was revoked is one command's error, which says what to do; the dashboard asks for a log-in."""
    ada.login("ada").expect(pexpect.EOF)
    (session,) = ada.server.http.get("/api/v1/sessions/", params={"user": "ada"}).json()
    assert ada.server.http.delete(f"/api/v1/sessions/{session['id']}").status_code == 204
    for _ in range(2):
        child = ada.run("whoami")
        child.expect("error: You are not logged in to .*hint: Log in: cybercorp login")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 3
    child = ada.run("tui")
    child.expect("wants to know who you are")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)


def forget_step_up(person: Person) -> None:
    """As if five minutes had passed: the proof of the session is taken away in the server's own loop."""
    server = person.server

    async def forget() -> None:
        sessions = await server.services.sessions.list_()
        for one in sessions:
            await server.services.records.sessions.step_up(one.id, 0, frozenset(one.factors))
        server.services.sessions._known.clear()

    import asyncio

    asyncio.run_coroutine_threadsafe(forget(), server._loop).result(10)


def test_a_script_is_told_what_to_give(ada: Person) -> None:
    """Where nobody can be asked nothing waits: the error names the option, and the exit code is that of usage."""
    import subprocess

    for arguments in (["login", ada.server.url], ["login", ada.server.url, "--user", "ada"], ["mfa", "add"]):
        done = subprocess.run(
            [sys.executable, "-m", "cybercorp", *arguments],
            env=ada.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode in (2, 4), (arguments, done.stderr)
        assert "hint:" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "cybercorp", "login", ada.server.url, "--user", "ada", "--password-stdin"],
        env=ada.environ,
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
