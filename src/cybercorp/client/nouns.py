"""The nouns of the library over one transport; both façades are made of them."""

from __future__ import annotations

from cybercorp.client.accounts import AsyncAccount
from cybercorp.client.agents import AsyncAgents
from cybercorp.client.audit import AsyncAudit
from cybercorp.client.elevations import AsyncElevations
from cybercorp.client.events import AsyncEvents
from cybercorp.client.hosts import AsyncHosts
from cybercorp.client.http import HttpTransport
from cybercorp.client.keys import AsyncKeys
from cybercorp.client.metrics import AsyncMetrics
from cybercorp.client.mfa import AsyncMfa
from cybercorp.client.passkeys import AsyncPasskeys
from cybercorp.client.processes import AsyncProcesses
from cybercorp.client.recordings import AsyncRecordings
from cybercorp.client.roles import AsyncBindings, AsyncRoles
from cybercorp.client.servers import AsyncServer
from cybercorp.client.sessions import AsyncSessions
from cybercorp.client.tokens import AsyncTokens
from cybercorp.client.users import AsyncUsers
from cybercorp.security.credentials import Credential


class Nouns:
    """One async façade for each noun, with the transport that they share."""

    def __init__(self, credential: Credential, *, timeout_s: float, blocking: bool) -> None:
        self.transport = HttpTransport(credential, timeout_s=timeout_s, blocking=blocking)
        self.hosts = AsyncHosts(self.transport)
        self.metrics = AsyncMetrics(self.transport)
        self.processes = AsyncProcesses(self.transport)
        self.events = AsyncEvents(self.transport)
        self.agents = AsyncAgents(self.transport)
        self.recordings = AsyncRecordings(self.transport)
        self.audit = AsyncAudit(self.transport)
        self.keys = AsyncKeys(self.transport)
        self.account = AsyncAccount(self.transport)
        self.users = AsyncUsers(self.transport)
        self.sessions = AsyncSessions(self.transport)
        self.mfa = AsyncMfa(self.transport)
        self.passkeys = AsyncPasskeys(self.transport)
        self.roles = AsyncRoles(self.transport)
        self.bindings = AsyncBindings(self.transport)
        self.elevations = AsyncElevations(self.transport)
        self.tokens = AsyncTokens(self.transport)
        self.server = AsyncServer(self.transport)
