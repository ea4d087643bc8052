"""The dashboard logs in to a real server, is thrown out, logs in again, and proves who it is before danger."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pyotp
import pytest
from textual.widgets import Input
from textual.worker import WorkerFailed

from cybercorp.client.asynchronous import AsyncClient
from cybercorp.client.profiles import Profile, save_profile
from cybercorp.client.synchronous import Client
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.protocol.logins import Tokens
from cybercorp.protocol.users import User, UserKind
from cybercorp.security.credentials import Credential
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.screens.log_in import LogInDialog
from cybercorp.tui.screens.step_up import StepUpDialog
from cybercorp.tui.session import Session
from tests.integration.serving import ServerThread
from tests.unit.tui.dashboards import Seat

PASSWORD = "four unrelated words"


def set_up(server: ServerThread) -> pyotp.TOTP:
    """An admin with an authenticator app."""
    body = {"name": "ada", "password": PASSWORD, "role": "admin"}
    assert server.http.post("/api/v1/users/", json=body).status_code == 201
    with Client(credential=Credential(url=server.url, token="")) as client:
        tokens = client.account.login("ada", PASSWORD)
    with Client(server.url, token=tokens.access_token) as client:
        setup = client.mfa.begin_totp("phone")
        app = pyotp.TOTP(setup.secret)
        client.mfa.confirm_totp(setup.factor_id, app.at(time.time() - 30))
    return app


async def type_in(seat: Seat, **fields: str) -> None:
    for name, value in fields.items():
        field = seat.app.screen.query_one(f"#{name}", Input)
        field.focus()
        field.value = value
    await seat.press("enter")


async def asked(seat: Seat, kind: type[object]) -> None:
    await seat.until(lambda: isinstance(seat.app.screen, kind), f"asked by {kind.__name__}")
    await seat.pilot.pause()


@pytest.mark.slow
async def test_from_the_first_log_in_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With name, password and code; the socket opens; revoked elsewhere it asks again; danger asks once more."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    with ServerThread(tmp_path / "server", password_memory_kib=19_456) as server:
        app = await asyncio.to_thread(set_up, server)
        save_profile("here", Profile(url=server.url), default=True)
        session = Session(lambda: AsyncClient(profile="here"))
        dashboard = DashboardApp(session)
        async with dashboard.run_test(size=(120, 40)) as pilot:
            seat = Seat(dashboard, pilot, None)  # type: ignore[arg-type]  # it has no fleet in memory
            await asked(seat, LogInDialog)
            await type_in(seat, user="ada", password=PASSWORD)
            await seat.sees("Code of the authenticator app")
            await type_in(seat, code=app.now())
            await seat.sees(f"ada@127.0.0.1:{server.port}")
            await seat.sees("LIVE")
            client = session.client
            assert isinstance(client, AsyncClient)

            creating = dashboard.run_worker(client.users.create("eve", kind=UserKind.SERVICE), exit_on_error=False)
            created: User = await creating.wait()
            assert created.name == "eve"
            await forget_step_up(server)
            creating = dashboard.run_worker(client.users.create("mallory", kind=UserKind.SERVICE), exit_on_error=False)
            await asked(seat, StepUpDialog)
            await type_in(seat, password=PASSWORD, code="000000")
            with pytest.raises(WorkerFailed) as error:
                await creating.wait()
            assert isinstance(error.value.error, UnauthenticatedError)

            await asyncio.to_thread(end_sessions, server)
            await asked(seat, LogInDialog)
            assert seat.app.screen.query_one("#user", Input).value == "ada"
            await seat.press("escape")
            await seat.sees("STALE")


async def forget_step_up(server: ServerThread) -> None:
    """As if five minutes had passed."""

    async def forget() -> None:
        for one in await server.services.sessions.list_():
            await server.services.records.sessions.step_up(one.id, 0, frozenset(one.factors))
        server.services.sessions._known.clear()

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(forget(), server._loop))


def end_sessions(server: ServerThread) -> None:
    """Somebody ends every session of the server."""
    for one in server.get("/api/v1/sessions/", user="ada"):
        assert server.http.delete(f"/api/v1/sessions/{one['id']}").status_code == 204


def test_the_tokens_of_a_log_in_are_kept_for_the_command_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One log-in for both; the session that it takes the place of is ended on the server."""
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    with ServerThread(tmp_path / "server", password_memory_kib=19_456) as server:
        body = {"name": "bob", "password": PASSWORD, "role": "viewer"}
        assert server.http.post("/api/v1/users/", json=body).status_code == 201
        save_profile("here", Profile(url=server.url), default=True)

        async def log_in_twice() -> list[Tokens]:
            made = []
            async with AsyncClient(profile="here") as client:
                for _ in range(2):
                    tokens = await client.account.login("bob", PASSWORD)
                    made.append(tokens)
                    replaced = client.kept_login.keep(tokens)
                    if replaced:
                        await client.account.end_replaced(replaced, tokens)
                assert (await client.account.show()).name == "bob"
            return made

        made = asyncio.run(log_in_twice())
        with Client(profile="here") as client:
            assert [one.id for one in client.sessions.list()] == [made[1].session_id]
