"""The server's settings: `<config>/server.toml`, `CYBERCORP_SERVER_…`, flags. The reference page is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from cybercorp.core.errors import SettingsError
from cybercorp.core.paths import data_dir
from cybercorp.server.networks import Network, parse_networks
from cybercorp.store.database_urls import check_url

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DAY_MS = 86_400_000


def _described(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the server that a person may set. The description of each field is the reference."""

    host: Annotated[str, _described("Address to listen on. 127.0.0.1 is this machine only.")] = "127.0.0.1"
    port: Annotated[int, _described("Port to listen on; 0 takes any free one.")] = 8765
    data_dir: Annotated[str | None, _described("Folder of the databases. Default: the platform's data folder.")] = None
    database_url: Annotated[
        str | None,
        _described("PostgreSQL for records and history: postgresql://USER@HOST/DATABASE. Default: SQLite in data_dir."),
    ] = None
    database_read_url: Annotated[
        str | None, _described("A replica of that database, which history is read from while it answers.")
    ] = None
    key_source: Annotated[
        str | None,
        _described(
            "Where the key that encrypts the records comes from: file:PATH, credential:NAME (systemd), keyring:NAME or"
            " command:WORDS. Default: systemd's credential cybercorp-key, else a file in data_dir."
        ),
    ] = None
    old_key_source: Annotated[
        str | None,
        _described("Where that key was before: what it wraps is wrapped by the one of key_source at the next start."),
    ] = None
    audit_file: Annotated[
        str | None,
        _described("The second copy of the audit trail, JSON lines; best on another disk. Default: in data_dir."),
    ] = None
    password_memory_kib: Annotated[
        int, _described("Memory that hashing one password takes (Argon2id), KiB; less is easier to guess.")
    ] = 65_536
    tls: Annotated[
        bool,
        _described("Speak TLS on loopback too. On any other address it is always spoken."),
    ] = False
    tls_certificate: Annotated[
        str | None,
        _described("A certificate chain (PEM) of your own authority; read again when it changes."),
    ] = None
    tls_key: Annotated[str | None, _described("The private key (PEM) of tls_certificate.")] = None
    tls_days: Annotated[float, _described("Days that our own certificate is good; made anew after two thirds.")] = 30.0
    approve_agents: Annotated[
        bool, _described("Whether somebody must approve each new host (cybercorp hosts approve) before it may send.")
    ] = False
    factor_for_all: Annotated[
        bool, _described("Whether everybody needs a second factor, and not only who changes hosts, rights or keys.")
    ] = False
    trusted_proxies: Annotated[
        list[str],
        _described("Addresses or networks of proxies whose X-Forwarded-For is believed; nobody else's ever is."),
    ] = []
    redis_url: Annotated[
        str | None, _described("Redis that counts limits for several instances: redis://HOST/0. Default: in memory.")
    ] = None
    allowed_hosts: Annotated[
        list[str],
        _described("Names that clients may call this server by, beside loopback names and the address it listens on."),
    ] = []
    retention_days: Annotated[float, _described("Days that samples and process tables are kept.")] = 14.0
    retention_minutes_days: Annotated[
        float, _described("Days that one-minute rollups (count, sum, min, max, last) are kept.")
    ] = 90.0
    retention_hours_days: Annotated[float, _described("Days that one-hour rollups are kept.")] = 730.0
    events_retention_days: Annotated[float, _described("Days that events are kept.")] = 90.0
    max_bytes: Annotated[
        int, _described("Bytes that history may take on disk; the oldest samples go first, rollups last.")
    ] = 10 * 1024**3
    commit_interval_ms: Annotated[int, _described("The longest a sample waits for its durable commit.")] = 200

    def check(self) -> None:
        """Refuse values that cannot work. Raises SettingsError."""
        _within("port", self.port, 0, 65535)
        _within("password_memory_kib", self.password_memory_kib, 19_456, 4_194_304)
        _within("tls_days", self.tls_days, 0.01, 398)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise SettingsError(
                "Of tls_certificate and tls_key only one is set.", hint="A certificate needs its key; set both."
            )
        self.proxies()
        _within("retention_days", self.retention_days, 0.01, 36_500)
        _within("retention_minutes_days", self.retention_minutes_days, 0.01, 36_500)
        _within("retention_hours_days", self.retention_hours_days, 0.01, 36_500)
        _within("events_retention_days", self.events_retention_days, 0.01, 36_500)
        _within("max_bytes", self.max_bytes, 16 * 1024**2, 1 << 50)
        _within("commit_interval_ms", self.commit_interval_ms, 10, 10_000)
        for name, url in (("database_url", self.database_url), ("database_read_url", self.database_read_url)):
            if url:
                check_url(name, url)
        if self.database_read_url and not self.database_url:
            raise SettingsError(
                "The setting 'database_read_url' names a replica of nothing.", hint="Set database_url as well."
            )

    def data_path(self) -> Path:
        """The data folder."""
        return Path(self.data_dir).expanduser() if self.data_dir else data_dir()

    def audit_path(self) -> Path:
        """The second copy of the audit trail."""
        return Path(self.audit_file).expanduser() if self.audit_file else self.data_path() / "audit.jsonl"

    def proxies(self) -> tuple[Network, ...]:
        """The networks of trusted_proxies. Raises SettingsError."""
        return parse_networks(self.trusted_proxies, "trusted_proxies")

    def tls_files(self) -> tuple[Path, Path] | None:
        """The certificate and the key of somebody else's authority, where they are set."""
        if not self.tls_certificate or not self.tls_key:
            return None
        return Path(self.tls_certificate).expanduser(), Path(self.tls_key).expanduser()

    def host_names(self) -> frozenset[str]:
        """The names, in lower case, by which a request may address this server (the Host header, without port)."""
        own = () if self.host in ("0.0.0.0", "::", "") else (self.host,)  # noqa: S104 - compared, not bound
        return frozenset(name.lower().strip("[]") for name in (*_LOOPBACK, *own, *self.allowed_hosts))

    @property
    def retention_ms(self) -> int:
        return round(self.retention_days * _DAY_MS)

    @property
    def retention_minutes_ms(self) -> int:
        return round(self.retention_minutes_days * _DAY_MS)

    @property
    def retention_hours_ms(self) -> int:
        return round(self.retention_hours_days * _DAY_MS)

    @property
    def events_retention_ms(self) -> int:
        return round(self.events_retention_days * _DAY_MS)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"The setting '{name}' is {value:g}.", hint=f"Use {low:g} to {high:g}.")
