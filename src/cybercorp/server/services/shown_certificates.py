"""Which certificate is shown, looked after while the server runs: renewed, rotated by another instance, replaced."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from cybercorp.core.errors import ConflictError
from cybercorp.protocol.logins import Tokens
from cybercorp.security.agent_keys import server_key
from cybercorp.security.certificates import KeyPair, names_of, split_pem
from cybercorp.server.services.authority import AuthorityService


class Showing(Protocol):
    """The server's end of TLS."""

    def use(self, pair: KeyPair, folder: Path) -> None: ...


class Watched(Protocol):
    """Files of a certificate that somebody else renews."""

    def look(self) -> bool: ...

    def text(self) -> str: ...


class ShownCertificates:
    """Nothing where the listener speaks plain HTTP. `look_after` is called every minute."""

    def __init__(self, authority: AuthorityService) -> None:
        self._authority = authority
        self._apply: Callable[[], None] = lambda: None
        self._watched: Watched | None = None
        self._shown = ""
        self.on_shown: Callable[[], None] = lambda: None  # another certificate of ours is shown, perhaps by new keys
        self.own = False
        self.server_keys: tuple[str, ...] = ()
        self.names: list[str] = []

    def use_own(self, showing: Showing, folder: Path) -> None:
        """Show what our authority made, from now on and whenever it is made anew."""
        self.own = True

        def apply() -> None:
            leaf = self._authority.leaf
            if leaf is not None and leaf.certificate != self._shown:
                showing.use(leaf, folder)
                self._shown = leaf.certificate
                self.remember(leaf.certificate)
                self.on_shown()

        self._apply = apply
        apply()

    def use_watched(self, watched: Watched) -> None:
        """Show files, and look whether they changed."""
        self._watched = watched
        self.remember(watched.text())

    def remember(self, certificate: str) -> None:
        """What agents may have seen: this certificate (PEM, the first of a chain) and the one before."""
        der = ssl.PEM_cert_to_DER_cert(split_pem(certificate)[0])
        self.server_keys = (server_key(der), *self.server_keys[:1])
        self.names = names_of(certificate)

    def add_to(self, tokens: Tokens) -> Tokens:
        """With the keys by which the server is known from now on."""
        return msgspec.structs.replace(tokens, pins=self.pins, authorities=self.authorities)

    @property
    def pins(self) -> list[str]:
        """Those that clients are told: none where the certificate is of somebody else's authority, or there is none."""
        return self._authority.pins if self.own else []

    @property
    def authorities(self) -> str:
        return self._authority.authorities if self.own else ""

    async def look_after(self) -> None:
        """Renew what is due, and show what is new; connections that are open go on."""
        if self._watched is not None and self._watched.look():
            self.remember(self._watched.text())
        if self.own:
            with contextlib.suppress(ConflictError):  # another instance has renewed it: show what that made
                await self._authority.renew()
            await self._authority.load()
            self._apply()
