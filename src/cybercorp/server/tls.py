"""The server's end of TLS: 1.3 alone, a context whose certificate is replaced while connections go on."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import tempfile
from pathlib import Path

from cybercorp.core.errors import SettingsError
from cybercorp.security.certificates import KeyPair

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
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.set_alpn_protocols(["http/1.1"])

    def use(self, pair: KeyPair, folder: Path) -> None:
        """Show this certificate from now on. The key is in a file (0600) for as long as OpenSSL reads it."""
        descriptor, name = tempfile.mkstemp(prefix=".tls-", dir=folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(pair.private_key + pair.certificate)
            self.context.load_cert_chain(name)
        finally:
            Path(name).unlink()

    def use_files(self, certificate: Path, key: Path) -> None:
        """Show a certificate of somebody else's authority. Raises SettingsError."""
        try:
            self.context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"The certificate {certificate} with the key {key} cannot be used: {error}.",
                hint="Both are PEM files; the key must belong to the certificate.",
            ) from error


class WatchedFiles:
    """Notices that a certificate was renewed by whoever made it (certbot, a company's authority)."""

    def __init__(self, tls: TlsContext, certificate: Path, key: Path) -> None:
        self._tls = tls
        self._certificate = certificate
        self._key = key
        self._seen = self._stamp()
        tls.use_files(certificate, key)

    def look(self) -> bool:
        """Load them again where they changed; what cannot be used is logged, and the old one stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        try:
            self._tls.use_files(self._certificate, self._key)
        except SettingsError as error:
            _LOG.warning("%s The one before stays in use.", error)
            return False
        self._seen = stamp
        _LOG.info("the certificate %s was loaded again", self._certificate)
        return True

    def text(self) -> str:
        """The certificates (PEM) that are shown."""
        return self._certificate.read_text(encoding="ascii", errors="replace")

    def _stamp(self) -> tuple[int, ...]:
        found = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError:
                return ()
            found += [status.st_mtime_ns, status.st_size, status.st_ino]
        return tuple(found)
