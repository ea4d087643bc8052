"""The tables of the records, one module a noun. Times are integer Unix milliseconds; JSON is text that
msgspec reads and writes.

What is declared here must be what the migrations make: a test compares both.
"""

from __future__ import annotations

from cybercorp.store.records.tables.agents import AGENTS
from cybercorp.store.records.tables.audit import AUDIT, AUDIT_CHECKPOINTS
from cybercorp.store.records.tables.columns import METADATA
from cybercorp.store.records.tables.events import EVENTS
from cybercorp.store.records.tables.hosts import HOSTS
from cybercorp.store.records.tables.keys import CERTIFICATES, DATA_KEYS, SIGNING_KEYS
from cybercorp.store.records.tables.meta import META
from cybercorp.store.records.tables.roles import API_TOKENS, BINDINGS, ELEVATIONS, ROLES
from cybercorp.store.records.tables.tokens import TOKENS
from cybercorp.store.records.tables.users import CEREMONIES, FACTORS, REFRESH_TOKENS, SESSIONS, USERS

__all__ = [
    "AGENTS",
    "API_TOKENS",
    "AUDIT",
    "AUDIT_CHECKPOINTS",
    "BINDINGS",
    "CEREMONIES",
    "CERTIFICATES",
    "DATA_KEYS",
    "ELEVATIONS",
    "EVENTS",
    "FACTORS",
    "HOSTS",
    "META",
    "METADATA",
    "REFRESH_TOKENS",
    "ROLES",
    "SESSIONS",
    "SIGNING_KEYS",
    "TOKENS",
    "USERS",
]
