"""The server's end of TLS: 1.3 alone, a context whose certificate is replaced while connections go on."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import tempfile
from pathlib import Path

from cybercorp.core.errors import InvalidInputError, SettingsError
from cybercorp.security.certificates import KeyPair, split_pem

_LOG = logging.getLogger("cybercorp.tls")


def is_loopback_host(host: str) -> bool:
    """Whether a listener there is reached from this machine alone. An empty name is every address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class TlsContext:
    """One `ssl.SSLContext` for as long as the server runs; new handshakes get the newest certificate."""

    def __init__(self) -> None:
        self.context = _new_context()

    def use(self, pair: KeyPair, folder: Path) -> None:
        """Show this certificate from now on. The key is in a file (0600) for as long as OpenSSL reads it.

        Raises OSError, ssl.SSLError and ValueError for a pair that cannot be used; then the one before stays: OpenSSL
        takes a new certificate first and drops the old key with it, so that a context of its own tries the pair.
        """
        descriptor, name = tempfile.mkstemp(prefix=".tls-", dir=folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(pair.private_key.rstrip() + "\n" + pair.certificate)
            for context in (_new_context(), self.context):
                context.load_cert_chain(name, password=_no_password)
        finally:
            Path(name).unlink()


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    """For a key with a password: without this OpenSSL asks at the terminal, and the server stands still."""
    raise ValueError("the key has a password")


class WatchedFiles:
    """Notices that a certificate was renewed by whoever made it (certbot, a company's authority)."""

    def __init__(self, tls: TlsContext, certificate: Path, key: Path, folder: Path) -> None:
        """Raises SettingsError where they cannot be used. `folder` is private to this server."""
        self._tls = tls
        self._certificate = certificate
        self._key = key
        self._folder = folder
        self._shown = ""
        self._seen = self._stamp()
        self._use()

    def look(self) -> bool:
        """Load them again where they changed; what cannot be used is logged, and the old one stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        try:
            self._use()
        except SettingsError as error:
            _LOG.warning("%s The one before stays in use.", error)
            return False
        self._seen = stamp
        _LOG.info("the certificate %s was loaded again", self._certificate)
        return True

    def text(self) -> str:
        """The certificates (PEM) that are shown."""
        return self._shown

    def _use(self) -> None:
        """Read both once: what is tried is what is shown, whoever writes the files meanwhile."""
        try:
            text = self._certificate.read_text(encoding="ascii", errors="replace")
            key = self._key.read_text(encoding="ascii", errors="replace")
            chain = "".join(split_pem(text))
            self._tls.use(KeyPair(chain, key), self._folder)
        except (OSError, ssl.SSLError, ValueError, InvalidInputError) as error:
            raise SettingsError(
                f"The certificate {self._certificate} with the key {self._key} cannot be used: {error}.",
                hint="Both are PEM files; the key must belong to the certificate, and has no password.",
            ) from error
        self._shown = chain

    def _stamp(self) -> tuple[int, ...]:
        found = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError:
                return ()
            found += [status.st_mtime_ns, status.st_size, status.st_ino]
        return tuple(found)
