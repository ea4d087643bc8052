"""The services that need no history: to prepare a server that is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cybercorp.core.clock import Clock
from cybercorp.core.paths import ensure_private_dir
from cybercorp.security.key_sources import find_key
from cybercorp.server.opening import open_records
from cybercorp.server.services.access_tokens import AccessTokens
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.authority import AuthorityService
from cybercorp.server.services.keys import open_vault
from cybercorp.server.services.passwords import Passwords
from cybercorp.server.services.policy import Policy
from cybercorp.server.services.sessions import SessionService
from cybercorp.server.services.users import UserService
from cybercorp.server.settings import ServerSettings


@dataclass(frozen=True)
class Preparations:
    """Users and the authority, with the audit trail that both write."""

    users: UserService
    authority: AuthorityService


@contextlib.asynccontextmanager
async def open_preparations(settings: ServerSettings, clock: Clock) -> AsyncIterator[Preparations]:
    """Open the records alone. Raises ConflictError (`storage_in_use`) while the server runs, and StorageErrors."""
    folder = ensure_private_dir(settings.data_path())
    records = await open_records(settings, folder)
    try:
        vault = await open_vault(records.data_keys, find_key(settings.key_source, folder), clock)
        audit = AuditService(records.audit, records.signing_keys, vault, clock, settings.audit_path())
        policy = Policy(records.roles, records.bindings, clock)
        await policy.load()
        passwords = Passwords(memory_kib=settings.password_memory_kib)
        tokens = AccessTokens(records.signing_keys, vault, clock, records.epoch)
        sessions = SessionService(records.sessions, records.users, tokens, policy, audit, vault, clock)
        users = UserService(
            records.users,
            records.factors,
            records.bindings,
            records.api_tokens,
            sessions,
            passwords,
            policy,
            audit,
            clock,
        )
        authority = AuthorityService(records.certificates, vault, audit, clock, leaf_days=settings.tls_days)
        try:
            yield Preparations(users, authority)
        finally:
            passwords.close()
            await audit.close()
    finally:
        await records.close()
