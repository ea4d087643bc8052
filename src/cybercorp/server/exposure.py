"""What a server needs before others than this machine's user can reach it: TLS, and a real account that owns it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from cybercorp.core.errors import ConflictError, SettingsError
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.users import UserKind
from cybercorp.server.settings import ServerSettings
from cybercorp.server.tls import TlsContext, WatchedFiles, is_loopback_host
from cybercorp.server.wiring import Services


async def make_tls(services: Services, folder: Path) -> TlsContext | None:
    """The TLS of the listener, None for plain HTTP on loopback.

    Raises SettingsError (`not_ready`) where the address is not loopback and a certificate or an owner is missing: it
    names the commands that make them.
    """
    settings = services.settings
    exposed = not is_loopback_host(settings.host)
    own = await services.authority.load()
    certified = own or settings.tls_certificate is not None
    if exposed:
        await _check_ready(services, certified=certified)
    elif not settings.tls and settings.tls_certificate is None:
        return None
    if not certified:
        raise _not_ready(["a certificate"], ["cybercorp server create-certificate NAME"], settings.host)
    tls = TlsContext()
    files = settings.tls_files()
    if files is not None:
        services.certificates.use_watched(WatchedFiles(tls, *files, folder))
        return tls
    with contextlib.suppress(ConflictError):  # another instance that starts as well was first
        await services.authority.renew()
    await services.authority.load()
    services.certificates.use_own(tls, folder)
    return tls


def address_for_others(settings: ServerSettings, names: Sequence[str]) -> str:
    """How other machines reach this server, by the first such name of its certificate; empty where none can."""
    named = [one for one in names if not is_loopback_host(one) and "*" not in one]
    if is_loopback_host(settings.host) or not named or not settings.port:
        return ""
    name = f"[{named[0]}]" if ":" in named[0] else named[0]
    return f"https://{name}:{settings.port}"


async def _check_ready(services: Services, *, certified: bool) -> None:
    lacking, commands = [], []
    if not certified:
        lacking.append("a certificate")
        commands.append("cybercorp server create-certificate NAME")
    owners = [
        user
        for user in await services.records.users.list_()
        if user.kind == UserKind.PERSON
        and user.password_hash is not None
        and user.disabled_at_ms is None
        and services.policy.rights_of(user.id).everywhere(Permission.USERS_ADMIN)
    ]
    if not owners:
        lacking.append("an owner who can log in")
        commands.append("cybercorp server create-owner NAME")
    if lacking:
        raise _not_ready(lacking, commands, services.settings.host)


def _not_ready(lacking: list[str], commands: list[str], host: str) -> SettingsError:
    return SettingsError(
        f"The server does not listen on {host} yet: it lacks {' and '.join(lacking)}.",
        hint=f"Run here first: {'; '.join(commands)}. Then start it again.",
        code="not_ready",
    )
