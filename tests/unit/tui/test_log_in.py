"""The dialogs that log in and that ask again who one is, over a fleet in memory."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from cybercorp.client.inbox import ConnectionState
from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import RateLimitedError
from cybercorp.protocol.logins import ClientType, StepUp
from cybercorp.protocol.passkeys import CeremonyCode
from cybercorp.tui.screens.log_in import LogInDialog
from cybercorp.tui.screens.step_up import StepUpDialog
from tests.unit.tui.dashboards import Seat, dashboard
from tests.unit.tui.fake_client import START_MS, FakeAccount, FakeClient, summary


def made(person: str | None = None) -> FakeClient:
    """A client of a profile, whose session is over where nobody is logged in."""
    client = FakeClient([summary(number) for number in range(5)], clock=ManualClock(now_ms=START_MS))
    client.log_in_possible = True
    client.person = person
    return client


def refuse(seat: Seat) -> None:
    """The server wants a log-in."""
    state = ConnectionState(connected=False, reason="You are not logged in.", retry_in_s=4.0, code="unauthenticated")
    seat.client.connection.push(state)


async def offered(seat: Seat) -> LogInDialog:
    refuse(seat)
    await seat.until(lambda: seat.app.session.connection.is_refused, "refused")
    seat.app._tick()
    await seat.until(lambda: isinstance(seat.app.screen, LogInDialog), "asked")
    await seat.pilot.pause()
    assert isinstance(seat.app.screen, LogInDialog)
    return seat.app.screen


async def type_in(seat: Seat, **fields: str) -> None:
    for name, value in fields.items():
        field = seat.app.screen.query_one(f"#{name.replace('_', '-')}", Input)
        field.focus()
        field.value = value
    await seat.press("enter")


async def test_it_comes_by_itself_once_and_goes_on_where_it_was() -> None:
    """Refused: the dialog. Logged in: the picture behind it is live again, and the header says who it is."""
    async with dashboard(client=made()) as seat:
        await offered(seat)
        await type_in(seat, user="bob", password=FakeAccount.PASSWORD)
        await seat.until(lambda: not isinstance(seat.app.screen, LogInDialog), "closed")
        await seat.sees("bob@127.0.0.1:8765")
        await seat.sees("LIVE")
        assert ("account.login", ("bob", ClientType.TUI)) in seat.client.calls
        await seat.until(lambda: ("account.end_replaced", "session_0") in seat.client.calls, "the one before is ended")


async def test_whoever_declines_is_not_asked_again() -> None:
    """`esc` leaves the old picture; ctrl+l asks when one wants to."""
    async with dashboard(client=made()) as seat:
        await offered(seat)
        await seat.press("escape")
        seat.app._tick()
        await seat.pilot.pause()
        assert not isinstance(seat.app.screen, LogInDialog)
        await seat.press("ctrl+l")
        assert isinstance(seat.app.screen, LogInDialog)


async def test_what_is_wrong_is_said_where_it_is_typed() -> None:
    """A wrong password, then a missing code, then a wrong one; the password need not be typed twice for a code."""
    client = made()
    async with dashboard(client=client, size=(80, 24)) as seat:
        dialog = await offered(seat)
        await type_in(seat, user="ada", password="wrong")
        await seat.sees("The name or the password is wrong")
        assert dialog.value("password") == ""
        await type_in(seat, password=FakeAccount.PASSWORD)
        await seat.sees("Code of the authenticator app")
        await type_in(seat, code="000000")
        await seat.sees("This code is not right")
        assert dialog.value("password") == FakeAccount.PASSWORD
        await type_in(seat, code="123456")
        await seat.until(lambda: client.person == "ada", "logged in")


async def test_the_password_is_not_shown() -> None:
    """Neither what is typed nor how it went stands on the screen."""
    async with dashboard(client=made()) as seat:
        await offered(seat)
        field = seat.app.screen.query_one("#password", Input)
        field.focus()
        await seat.press(*"hunter2")
        assert "hunter2" not in seat.text()
        assert "•" * 7 in seat.text()


async def test_too_often_says_when(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit's own words and the time to wait."""

    async def limited(*_: object) -> None:
        raise RateLimitedError("Too many failed log-ins.", retry_after_s=90)

    monkeypatch.setattr(FakeAccount, "login", limited)
    async with dashboard(client=made()) as seat:
        await offered(seat)
        await type_in(seat, user="bob", password="x")
        await seat.sees("Too many failed log-ins. Try again in 1m 30s")


async def test_with_a_passkey() -> None:
    """f2 shows the page; its code logs in; `esc` goes back to the password first."""
    client = made()
    async with dashboard(client=client, size=(80, 24)) as seat:
        await offered(seat)
        await seat.press("f2")
        await seat.sees("http://localhost:8765/passkey#cch_ticket")
        await seat.press("escape")
        await seat.sees("Password")
        await seat.press(*"secret")
        assert seat.app.screen.query_one("#password", Input).value == "secret"
        await seat.press("f2")
        await seat.sees("/passkey#cch_ticket")
        await type_in(seat, page_code="wrong")
        await seat.sees("This is not the code of the page")
        await type_in(seat, page_code="abcd-efgh")
        await seat.until(lambda: client.person == "ada", "logged in")


async def test_logging_out() -> None:
    """The session ends on the server and is forgotten here."""
    async with dashboard(client=made("bob")) as seat:
        await seat.sees("bob@127.0.0.1:8765")
        await seat.press("ctrl+o")
        await seat.until(lambda: ("account.logout", None) in seat.client.calls, "told")
        assert seat.client.person is None


async def test_the_local_owner_is_never_asked() -> None:
    """A token that was given is used or not; no dialog would help."""
    client = FakeClient([summary(1)], clock=ManualClock(now_ms=START_MS))
    async with dashboard(client=client) as seat:
        refuse(seat)
        await seat.until(lambda: seat.app.session.connection.is_refused, "refused")
        seat.app._tick()
        await seat.press("ctrl+l")
        assert not isinstance(seat.app.screen, LogInDialog)
        await seat.sees("a token that was given to it")


async def test_proof_is_asked_for_and_given() -> None:
    """Password and code, or a passkey, or nothing where the person gives up."""
    async with dashboard(client=made("ada")) as seat:
        await seat.sees("ada@")
        for answer in ("password", "passkey", "nothing"):
            worker = seat.app.run_worker(seat.client.prove())
            await seat.until(lambda: isinstance(seat.app.screen, StepUpDialog), "asked")
            await seat.sees("is it ada?")
            if answer == "password":
                await type_in(seat, password="secret", code="123456")
                assert await worker.wait() == StepUp(password="secret", code="123456")
            elif answer == "passkey":
                await seat.press("f2")
                await seat.sees("/passkey#cch_ticket")
                await type_in(seat, page_code="abcd-efgh")
                proof = CeremonyCode(ticket="cch_ticket", secret="cch_secret", code="abcd-efgh")
                assert await worker.wait() == proof
            else:
                await seat.press("escape")
                assert await worker.wait() is None


async def test_hostile_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server says about its user moves no cursor and colours nothing."""
    async with dashboard(client=made("\x1b[31mevil\x1b]52;c;x\x07[bold]")) as seat:
        await seat.sees("evil")
        assert "\x1b" not in seat.text()
        assert "[bold]" in seat.text()
