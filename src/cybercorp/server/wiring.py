"""The services of one server, made once at start and handed to every handler."""

from __future__ import annotations

from dataclasses import dataclass

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.security.key_sources import find_key
from cybercorp.security.tokens import TokenKind
from cybercorp.security.vault import Vault
from cybercorp.server.services.access import AccessService
from cybercorp.server.services.access_tokens import AccessTokens
from cybercorp.server.services.agent_keys import AgentKeyService
from cybercorp.server.services.agents import AgentRegistry
from cybercorp.server.services.api_tokens import ApiTokenService
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.authority import AuthorityService
from cybercorp.server.services.ceremonies import Ceremonies
from cybercorp.server.services.elevations import ElevationService
from cybercorp.server.services.events import EventService
from cybercorp.server.services.exports import ExportService
from cybercorp.server.services.fleet import Fleet, LiveHost
from cybercorp.server.services.hosts import HostService
from cybercorp.server.services.ingest import IngestService
from cybercorp.server.services.key_rotation import KeyService
from cybercorp.server.services.limits import Limiter, MemoryCells
from cybercorp.server.services.live import LiveService
from cybercorp.server.services.logins import LoginService
from cybercorp.server.services.metrics import MetricService
from cybercorp.server.services.mfa import MfaService
from cybercorp.server.services.passkeys import PasskeyService
from cybercorp.server.services.passwords import Passwords
from cybercorp.server.services.policy import Policy
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.process_events import ProcessEventService
from cybercorp.server.services.processes import ProcessService
from cybercorp.server.services.recordings import RecordingService
from cybercorp.server.services.redis_cells import RedisCells
from cybercorp.server.services.refusals import RefusalService
from cybercorp.server.services.replay import ReplayService
from cybercorp.server.services.roles import RoleService
from cybercorp.server.services.servers import ServerService
from cybercorp.server.services.sessions import SessionService
from cybercorp.server.services.shown_certificates import ShownCertificates
from cybercorp.server.services.users import UserService
from cybercorp.server.services.windows import WindowService
from cybercorp.server.settings import ServerSettings
from cybercorp.server.sockets import OpenSockets
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries


@dataclass(frozen=True)
class Services:
    """Everything a handler may need; which one it uses is its own affair."""

    settings: ServerSettings
    clock: Clock
    records: Records
    store: TimeSeries
    vault: Vault
    keys: KeyService
    audit: AuditService
    refusals: RefusalService
    policy: Policy
    limits: Limiter
    sessions: SessionService
    users: UserService
    mfa: MfaService
    passkeys: PasskeyService
    logins: LoginService
    roles: RoleService
    authority: AuthorityService
    certificates: ShownCertificates
    elevations: ElevationService
    api_tokens: ApiTokenService
    fleet: Fleet
    agents: AgentRegistry
    agent_keys: AgentKeyService
    sockets: OpenSockets
    access: AccessService
    events: EventService
    windows: WindowService
    hosts: HostService
    metrics: MetricService
    processes: ProcessService
    process_events: ProcessEventService
    replay: ReplayService
    exports: ExportService
    recordings: RecordingService
    live: LiveService
    ingest: IngestService
    servers: ServerService
    recorded: bool = False  # a recording is served: nothing is added to it, and nothing grows too old

    async def note_agent_refusal(self, host: LiveHost, error: CyberCorpError) -> None:
        """An event that an agent was refused, at most one a minute and host."""
        now = self.clock.monotonic()
        last = host.complained.get("refused")
        if last is None or now - last >= 60:
            host.complained["refused"] = now
            text = f"The agent of {host.name} was refused: {error.message}"
            await self.events.note_host(EventKind.AGENT_REFUSED, host, text, severity=Severity.WARNING)

    async def remove_host(self, id_or_name: str, principal: Principal) -> None:
        """Forget a host: its record, connection, viewers and history. Raises NotFoundError, ForbiddenError."""
        host = await self.hosts.remove(id_or_name, principal)
        link = self.agents.find(host.key)
        if link is not None:
            link.close(1008, "unauthenticated: the host was removed")
        self.live.drop_host(host)
        self.processes.forget(host.key)
        await self.ingest.drop_host(host.key)


def _shut_out(agents: AgentRegistry, host: LiveHost) -> None:
    """End the connection of a host that is admitted no more."""
    link = agents.find(host.key)
    if link is not None:
        link.close(1008, "forbidden: this host is admitted no more")


def make_services(
    settings: ServerSettings, clock: Clock, records: Records, store: TimeSeries, vault: Vault
) -> Services:
    """Wire the services; nothing runs yet."""
    audit = AuditService(records.audit, records.signing_keys, vault, clock, settings.audit_path())
    policy, limits = (
        Policy(records.roles, records.bindings, clock),
        Limiter(RedisCells(settings.redis_url) if settings.redis_url else MemoryCells(clock)),
    )
    passwords = Passwords(memory_kib=settings.password_memory_kib)
    tokens = AccessTokens(records.signing_keys, vault, clock, records.epoch)
    sessions = SessionService(
        records.sessions, records.users, tokens, policy, audit, vault, clock, factor_for_all=settings.factor_for_all
    )
    users = UserService(
        records.users, records.factors, records.bindings, records.api_tokens, sessions, passwords, policy, audit, clock
    )
    roles = RoleService(records.roles, records.bindings, records.users, policy, audit, clock)
    authority = AuthorityService(records.certificates, vault, audit, clock, leaf_days=settings.tls_days)
    api_tokens = ApiTokenService(records.api_tokens, records.users, roles, policy, audit, clock)
    mfa = MfaService(records.factors, passwords, sessions, limits, audit, vault, clock)
    access = AccessService(records.tokens, clock)
    access.authenticators[TokenKind.ACCESS] = sessions.authenticate
    access.authenticators[TokenKind.API] = api_tokens.authenticate
    fleet, agents = Fleet(clock), AgentRegistry()
    events = EventService(records.events, clock)
    windows = WindowService(fleet, clock)
    agent_keys = AgentKeyService(
        records.agents, fleet, events, audit, clock, approve=settings.approve_agents, shared=records.shared
    )
    hosts = HostService(records.hosts, records.tokens, agent_keys, fleet, windows, events, audit, clock)
    metrics = MetricService(store, clock)
    processes = ProcessService(agents, metrics, store, clock)
    live = LiveService(hosts, windows, processes, events, clock)
    ingest = IngestService(store, events, clock, retention_ms=settings.retention_ms)
    ingest.on_row = live.row_arrived
    processes.on_table = live.table_arrived
    events.on_appended = live.events_appended
    agent_keys.on_shut_out = lambda host: _shut_out(agents, host)
    policy.on_changed = live.rights_changed
    sessions.on_ended = live.end_sessions
    live.rights_of = sessions.rights_of
    servers = ServerService(
        records=records,
        store=store,
        fleet=fleet,
        agents=agents,
        live=live,
        ingest=ingest,
        metrics=metrics,
        clock=clock,
    )
    return Services(
        settings=settings,
        clock=clock,
        records=records,
        store=store,
        vault=vault,
        keys=KeyService(
            records.data_keys,
            records.sealed_columns,
            store,
            vault,
            lambda: find_key(settings.key_source, settings.data_path(), may_make=False),
            audit,
            clock,
        ),
        audit=audit,
        refusals=RefusalService(audit, clock),
        policy=policy,
        limits=limits,
        sessions=sessions,
        users=users,
        mfa=mfa,
        passkeys=PasskeyService(
            Ceremonies(records.ceremonies, limits, vault, clock), records.users, mfa, sessions, limits, audit
        ),
        logins=LoginService(records.users, users, sessions, passwords, mfa, limits, audit),
        roles=roles,
        authority=authority,
        certificates=ShownCertificates(authority),
        elevations=ElevationService(records.elevations, records.users, roles, policy, audit, clock),
        api_tokens=api_tokens,
        fleet=fleet,
        agents=agents,
        agent_keys=agent_keys,
        sockets=OpenSockets(),
        access=access,
        events=events,
        windows=windows,
        hosts=hosts,
        metrics=metrics,
        processes=processes,
        process_events=ProcessEventService(metrics, store),
        replay=ReplayService(store, metrics, fleet),
        exports=ExportService(store, metrics, clock),
        recordings=RecordingService(store, metrics, events, clock),
        live=live,
        ingest=ingest,
        servers=servers,
    )
