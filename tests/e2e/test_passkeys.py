"""Passkeys as a person meets them: a real terminal, a real browser, and a device in software that it takes for real."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from cybercorp.security.certificates import pin_of
from tests.browser import Browser, needs_browser
from tests.e2e.person import PASSWORD, Person
from tests.e2e.test_login import forget_step_up
from tests.integration.serving import ServerThread
from tests.integration.test_tls import prepare
from tests.stack import wait_until

pytestmark = [needs_browser, pytest.mark.slow]


@pytest.fixture
def ada(tmp_path: Path) -> Iterator[Person]:
    """An admin who is logged in with a password, and has no second factor yet."""
    with ServerThread(tmp_path / "server", password_memory_kib=19_456) as server:
        body = {"name": "ada", "password": PASSWORD, "role": "admin"}
        assert server.http.post("/api/v1/users/", json=body).status_code == 201
        person = Person(tmp_path / "home", server)
        person.login("ada").expect(pexpect.EOF)
        yield person


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as made:
        made.add_authenticator()
        yield made
        assert made.problems == []


def page_of(child: pexpect.spawn[str]) -> str:
    """The address that a command says."""
    child.expect(r"(https?://localhost:\d+/passkey#cch_\S+)")
    return str(child.match.group(1))


def code_of(browser: Browser) -> str:
    """What the page shows once the passkey was used."""
    browser.click("#use")
    wait_until(lambda: browser.text("#code"), "the page shows a code")
    return browser.text("#code")


def test_from_set_up_to_log_in(ada: Person, browser: Browser) -> None:
    """Set a passkey up, log in with it without a name or a password, prove with it who you are before danger."""
    child = ada.run("mfa", "add", "--passkey", "--name", "key ring")
    browser.open(page_of(child))
    wait_until(lambda: "A new passkey for ada" in browser.text("#purpose"), "the page says what it is for")
    assert browser.text("#network") == "127.0.0.1"
    child.expect("Code that the page shows: ")
    child.sendline("wrong-one")
    child.expect("This is not the code of the page")
    code = code_of(browser)
    assert re.fullmatch("[a-z2-9]{4}-[a-z2-9]{4}", code)
    child.expect("Code that the page shows: ")
    child.sendline(code)
    child.expect("The passkey is set up")
    child.expect("Recovery codes")
    child.expect(pexpect.EOF)
    assert "key ring" in ada.read("mfa", "list")
    ada.read("logout")

    child = ada.run("login", ada.server.url, "--passkey")
    browser.open(page_of(child))
    child.expect("Code that the page shows: ")
    child.sendline(code_of(browser).upper())
    child.expect("Logged in to .* as ada")
    child.expect(pexpect.EOF)
    assert "passkey" in ada.read("whoami")

    forget_step_up(ada)
    child = ada.run("users", "create", "eve", "--service")
    child.expect(r"Password \(empty: with a passkey\): ")
    child.sendline("")
    browser.open(page_of(child))
    wait_until(lambda: browser.text("#title") == "Is it you?", "the page asks")
    child.expect("Code that the page shows: ")
    child.sendline(code_of(browser))
    child.expect("eve is made")
    child.expect(pexpect.EOF)


def test_over_tls(tmp_path: Path) -> None:
    """A browser that trusts the server's certificate uses a passkey by its name; the terminal knows it by its pin."""
    folder = tmp_path / "server"
    made = prepare(folder, "server", "create-certificate", "localhost")
    prepare(folder, "server", "create-owner", "ada", "--password-stdin", given=f"{PASSWORD}\n")
    with ServerThread(folder, tls=True, password_memory_kib=19_456) as server:
        shown = ssl.get_server_certificate(("127.0.0.1", server.port))
        key = pin_of(shown).removeprefix("sha256:").replace("-", "+").replace("_", "/")
        person, url = Person(tmp_path / "home", server), f"https://localhost:{server.port}"
        child = person.run("login", url, "--user", "ada", "--pin", made.stdout.splitlines()[-1])
        child.expect("Password: ")
        child.sendline(PASSWORD)
        child.expect("Logged in")
        child.expect(pexpect.EOF)
        with Browser(tmp_path / "profile", trusted_key=f"{key}=") as browser:
            browser.add_authenticator()
            for arguments in (("mfa", "add", "--passkey"), ("login", url, "--passkey")):
                child = person.run(*arguments)
                browser.open(page_of(child))
                child.expect("Code that the page shows: ")
                child.sendline(code_of(browser))
                child.expect("passkey is set up|Logged in to .* as ada")
                child.expect(pexpect.EOF)
            assert browser.problems == []


def test_links_that_are_not_good(ada: Person, browser: Browser) -> None:
    """Without a ticket, with one that nobody gave out, and with one that was used: the page says so, and what to do."""
    url = f"http://localhost:{ada.server.port}/passkey"
    browser.open(url)
    wait_until(lambda: "opened from a terminal" in browser.text("#problem"), "the page says what is missing")
    for fragment in ("#x", "#<img src=x onerror=alert(1)>"):
        browser.open(url + fragment)
        wait_until(lambda: "Begin again in the terminal" in browser.text("#problem"), "the page says it is over")
    browser.problems.clear()  # the browser's own note of the answers 404


def test_nothing_of_a_page_is_forbidden_by_its_policy(ada: Person, browser: Browser, tmp_path: Path) -> None:
    """Style and script are applied; no script of anybody else would run; no other site may show it in a frame."""
    browser.open(f"http://localhost:{ada.server.port}/passkey")
    wait_until(lambda: browser.text("#problem"), "the script has run")
    assert browser.evaluate("getComputedStyle(document.querySelector('main')).borderRadius") == "12px"
    injected = "document.body.append(Object.assign(document.createElement('script'), {src: 'https://evil.test/x.js'}))"
    browser.evaluate(f"try {{ {injected} }} catch {{ 'refused' }}")
    wait_until(lambda: bool(browser.evaluate("1")) and browser.problems != [], "the policy forbids it")
    assert "Content Security Policy" in browser.problems[0] or "TrustedScriptURL" in browser.problems[0]
    browser.problems.clear()
