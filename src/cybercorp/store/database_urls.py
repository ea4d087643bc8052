"""Addresses of PostgreSQL databases: checked, and shown without their password. No driver is needed for that."""

from __future__ import annotations

from urllib.parse import urlsplit

from cybercorp.core.errors import SettingsError
from cybercorp.security.display import safe_text

_SCHEMES = ("postgresql", "postgres")
_HINT = "Use postgresql://USER@HOST:PORT/DATABASE; the password may be in it, in PGPASSWORD or in ~/.pgpass."


def check_url(setting: str, url: str) -> None:
    """Refuse what is no address of PostgreSQL, without repeating it: it may hold a password. Raises SettingsError."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SettingsError(f"The setting '{setting}' is no address of a database.", hint=_HINT) from None
    if parts.scheme not in _SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise SettingsError(f"The setting '{setting}' is no address of PostgreSQL.", hint=_HINT)


def shown(url: str) -> str:
    """The address without password and parameters: for logs, errors and people."""
    parts = urlsplit(url)
    account, at, place = parts.netloc.rpartition("@")
    user = account.partition(":")[0] + at
    return safe_text(f"postgresql://{user}{place}{parts.path}")
