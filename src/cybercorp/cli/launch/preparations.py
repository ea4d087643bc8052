"""What a server that is stopped is given before it listens for others: an owner, a certificate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cybercorp.core.clock import SystemClock
from cybercorp.core.settings import load_settings
from cybercorp.protocol.certificates import CertificateStatus
from cybercorp.protocol.users import NewUser
from cybercorp.server.preparing import Preparations, open_preparations
from cybercorp.server.services.principals import LOCAL_OWNER
from cybercorp.server.settings import ServerSettings


def create_owner(data_dir: Path, name: str, password: str) -> str:
    """Make an admin; returns the name as it is kept. Raises ConflictError, InvalidInputError, StorageError."""

    async def work() -> str:
        async with _opened(data_dir) as services:
            new = NewUser(name=name, password=password, role="admin")
            return (await services.users.create(LOCAL_OWNER, new)).name

    return asyncio.run(work())


def create_certificate(data_dir: Path, names: Sequence[str]) -> CertificateStatus:
    """Make a certificate, and the authorities where there are none. Raises as `create_owner` does."""

    async def work() -> CertificateStatus:
        async with _opened(data_dir) as services:
            await services.authority.create(LOCAL_OWNER, names)
            return services.authority.status()

    return asyncio.run(work())


@contextlib.asynccontextmanager
async def _opened(data_dir: Path) -> AsyncIterator[Preparations]:
    settings = load_settings(ServerSettings, program="server", overrides={"data_dir": str(data_dir)})
    async with open_preparations(settings, SystemClock()) as services:
        yield services
