"""A real Chromium without a window, driven by its DevTools protocol, with a virtual passkey authenticator.

Needs `chromium` on the machine (Debian: apt install chromium); tests that use it are skipped where there is none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from websockets.sync.client import connect

from tests.stack import wait_until

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")


class Browser:
    """One page; `problems` are what its console said of errors and what its content policy forbade."""

    def __init__(self, folder: Path, *, trusted_key: str = "") -> None:
        """`trusted_key`: the base64 SHA-256 of the key (SPKI) of a certificate that is taken as installed."""
        assert PROGRAM is not None
        self._number, self._session = 0, ""
        self.problems: list[str] = []
        self._process = subprocess.Popen(
            [
                PROGRAM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                f"--ignore-certificate-errors-spki-list={trusted_key}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack = ExitStack()
        self._stack.callback(self._end)
        try:
            told = folder / "DevToolsActivePort"
            wait_until(lambda: told.exists() and told.read_text().count("\n") > 0, "Chromium has begun")
            port, path = told.read_text().splitlines()[:2]
            opened = connect(f"ws://127.0.0.1:{port}{path}", max_size=64 * 1024 * 1024, proxy=None)
            self._socket = self._stack.enter_context(opened)
            target = self._ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self._ask(f"{domain}.enable")
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def add_authenticator(self, *, verifies: bool = True) -> None:
        """A device with room for passkeys, whose user is there; `verifies`: and shows who they are."""
        self._ask("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        self._ask("WebAuthn.addVirtualAuthenticator", options=options)

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url="about:blank")  # a page that differs only behind '#' is not loaded anew
        self._ask("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of an expression of the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What stands in an element, empty where there is none."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        """As a person does: where the element is, once it is there and may be pressed."""
        name = json.dumps(selector)
        ready = f"(e => Boolean(e) && !e.disabled && e.getClientRects().length > 0)(document.querySelector({name}))"
        wait_until(lambda: self.evaluate(ready), f"{selector} can be pressed")
        self._ask("Runtime.evaluate", expression=f"document.querySelector({name}).click()", userGesture=True)

    def picture(self, file: Path) -> None:
        """A screenshot (PNG)."""
        import base64

        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            said = json.loads(self._socket.recv(30))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.problems.append(said["params"]["entry"]["text"])
            if said.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(said["params"]["exceptionDetails"]))
