"""Hosts: join, change, remove, look up. The rules; the fleet holds what is live, the records what lasts."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import (
    CyberCorpError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageFullError,
    UnauthenticatedError,
)
from cybercorp.protocol.agents import EnrolAnswer, Enrolment, EnrolmentRequest, EnrolRequest, Hello
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.protocol.hosts import Host, HostChange, HostSort, check_host_name
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.security.agent_keys import is_public_key
from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind
from cybercorp.server.services.access import unauthenticated
from cybercorp.server.services.agent_keys import AgentKeyService
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.events import EventService
from cybercorp.server.services.facts import bounded_facts
from cybercorp.server.services.fleet import Fleet, LiveHost, sort_summaries
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.views import View
from cybercorp.server.services.windows import WindowService
from cybercorp.store.records.hosts import HostRepository
from cybercorp.store.records.tokens import TokenRepository

MAX_LABELS = 32
MAX_LABEL = 63
MAX_TOKENS = 1_000
LONGEST_ENROLMENT_S = 3_600
CLOCK_WARNING_MS = 5_000
MAX_CLOCK_OFFSET_MS = 100 * 365 * 86_400_000
_LOG = logging.getLogger("cybercorp.hosts")


class HostService:
    def __init__(
        self,
        hosts: HostRepository,
        tokens: TokenRepository,
        keys: AgentKeyService,
        fleet: Fleet,
        windows: WindowService,
        events: EventService,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._hosts = hosts
        self._tokens = tokens
        self._keys = keys
        self._fleet = fleet
        self._windows = windows
        self._events = events
        self._audit = audit
        self._clock = clock

    def get(self, id_or_name: str, view: View) -> LiveHost:
        """The host of this name or id. Raises NotFoundError (`host_not_found`) with the nearest name that is seen.

        One that is not seen is as absent as one that never was.
        """
        found = self._fleet.find(id_or_name)
        if found is not None and view.sees(found):
            return found
        names = self._fleet.names() if view.everything else [host.name for host in view.choose(self._fleet.hosts)]
        close = difflib.get_close_matches(id_or_name[:300], names, n=1)
        raise NotFoundError(
            f"There is no host '{id_or_name[:100]}'.",
            hint=f"Did you mean '{close[0]}'?" if close else "List them with: cybercorp hosts.",
            code="host_not_found",
        )

    def find(self, id: str) -> LiveHost | None:
        """The host of this id, whoever asks: for what is checked elsewhere."""
        return self._fleet.find(id)

    def select(self, selectors: Sequence[str], view: View) -> list[LiveHost]:
        """The hosts that match any selector (none: all). A plain name that matches nothing is an error."""
        parsed = [parse_host_selector(text) for text in selectors]
        chosen = view.choose(self._fleet.select(parsed))
        if not chosen:
            for text in selectors:
                if text and not any(sign in text for sign in "*?[=<>! "):
                    self.get(text, view)
        return chosen

    def list_(
        self, selectors: Sequence[str], view: View, sort: HostSort, descending: bool, offset: int, limit: int
    ) -> list[Host]:
        """Hosts with their summaries, ordered."""
        now_ms = self._clock.now_ms()
        chosen = {host.id: host for host in self.select(selectors, view)}
        rows = sort_summaries([host.summary(now_ms) for host in chosen.values()], sort, descending)
        page = [chosen[row.id] for row in rows[offset : offset + limit]]
        busy = view.with_processes(page)
        return [host.host(now_ms, processes=host.key in busy) for host in page]

    def told(self, host: LiveHost, view: View) -> Host:
        """What is known of the host, as far as it may be told."""
        return host.host(self._clock.now_ms(), processes=view.sees_processes(host))

    async def create_enrolment(self, request: EnrolmentRequest) -> Enrolment:
        """Tokens that one agent each may join with. Raises InvalidInputError."""
        if not 1 <= request.count <= MAX_TOKENS or not 1 <= request.expires_in_s <= LONGEST_ENROLMENT_S:
            raise InvalidInputError(
                f"An enrolment of {request.count} hosts for {request.expires_in_s} s cannot be made.",
                hint=f"A token is good for one host and an hour at most; ask for 1 to {MAX_TOKENS} tokens at a time.",
            )
        labels = check_labels(request.labels)
        now_ms = self._clock.now_ms()
        tokens = [new_token(TokenKind.ENROLMENT) for _ in range(request.count)]
        expires_at_ms = now_ms + request.expires_in_s * 1000
        await self._tokens.delete_expired(now_ms)
        await self._tokens.create_many(
            TokenKind.ENROLMENT,
            [token_hash(token) for token in tokens],
            now_ms,
            labels={key: value for key, value in labels.items() if value is not None},
            expires_at_ms=expires_at_ms,
        )
        return Enrolment(tokens=tokens, expires_at_ms=expires_at_ms)

    async def enrol(self, token: str | None, request: EnrolRequest, network: str) -> EnrolAnswer:
        """A new host joins, with a key that its agent made there.

        It is written down before the token is used. Raises UnauthenticatedError, InvalidInputError, ConflictError
        (`host_name_taken`), StorageError.
        """
        if token is None or token_kind(token) is not TokenKind.ENROLMENT:
            raise unauthenticated("An enrolment token is needed to join.")
        name = check_host_name(request.name)
        if not is_public_key(request.public_key):
            raise InvalidInputError("This is no public key.", hint="Send Ed25519, 64 hexadecimal digits.")
        now_ms = self._clock.now_ms()
        known = await self._tokens.find(token_hash(token))
        if known is None or not known.is_usable(now_ms):  # an anonymous guess is no action, and no intent
            raise _used_up()
        intent = await self._audit.begin("host.join", actor=None, target_kind="host", target=name, network=network)
        try:
            made = await self._join(known.hash, name, request, network, now_ms)
        except BaseException as error:
            await self._audit.settle(intent, error.error_code if isinstance(error, CyberCorpError) else "failed")
            raise
        await self._audit.settle(msgspec.structs.replace(intent, target_id=made.host_id))
        return made

    async def _join(self, hash: str, name: str, request: EnrolRequest, network: str, now_ms: int) -> EnrolAnswer:
        used = await self._tokens.use(hash, now_ms)
        if used is None:
            raise _used_up()
        try:
            row = await self._hosts.create(name, used.labels, bounded_facts(request.facts), now_ms)
        except BaseException:
            await self._tokens.give_back(used.hash)
            raise
        try:
            state = await self._keys.enrol(row.id, request.public_key, network)
        except BaseException:
            await self._hosts.remove(row.id, now_ms)  # a host that nobody can speak for would keep its name
            raise
        live = self._fleet.add(row)
        live.agent_state = state
        self._windows.forget()
        await self._events.note_host(EventKind.HOST_JOINED, live, f"{name} joined.")
        return EnrolAnswer(host_id=row.id, name=row.name, state=state)

    async def change(self, id_or_name: str, change: HostChange, principal: Principal) -> Host:
        """Set labels, rename. Raises NotFoundError, InvalidInputError, ConflictError (`host_name_taken`).

        ForbiddenError where it may not be changed, or labels would take it out of what this principal may change.
        """
        host = self.get(id_or_name, principal.view(Permission.HOSTS_VIEW))
        principal.require(Permission.HOSTS_EDIT, host)
        labels = check_labels(change.labels)
        if labels and not principal.rights.allows_labels(Permission.HOSTS_EDIT, _merged(host.row.labels, labels)):
            raise ForbiddenError(
                "These labels would take the host out of what you may change.",
                hint="Leave the labels of your scope as they are, or ask somebody with a wider one.",
                code="outside_scope",
            )
        if change.name is not None and change.name != host.name:
            before = host.name
            self._fleet.add(await self._hosts.rename(host.id, check_host_name(change.name)))
            await self._events.note_host(EventKind.HOST_RENAMED, host, f"{before} is now {host.name}.")
        if labels:
            self._fleet.add(await self._hosts.set_labels(host.id, labels))
            told = " ".join(f"{key}={value}" if value is not None else f"-{key}" for key, value in labels.items())
            await self._events.note_host(EventKind.HOST_LABELLED, host, f"{host.name} was labelled: {told}")
        self._windows.forget()
        return self.told(host, principal.view(Permission.HOSTS_VIEW))

    async def approve(self, id_or_name: str, principal: Principal) -> Host:
        """Let a host send that waits for it, or was locked. Raises NotFoundError, ForbiddenError, ConflictError."""
        host = self.get(id_or_name, principal.view(Permission.HOSTS_VIEW))
        principal.require(Permission.AGENT_ADMIN, host)
        await self._keys.approve(principal, host)
        return self._settled(host, principal)

    async def retire(self, id_or_name: str, principal: Principal) -> Host:
        """Its agent never returns; its history stays. Raises NotFoundError, ForbiddenError, StepUpRequiredError."""
        host = self.get(id_or_name, principal.view(Permission.HOSTS_VIEW))
        principal.require(Permission.AGENT_ADMIN, host)
        principal.require_step_up(self._clock.now_ms())
        await self._keys.retire(principal, host)
        return self._settled(host, principal)

    def _settled(self, host: LiveHost, principal: Principal) -> Host:
        host.agent_state = self._keys.state_of(host.id)
        return self.told(host, principal.view(Permission.HOSTS_VIEW))

    async def remove(self, id_or_name: str, principal: Principal) -> LiveHost:
        """Forget a host and its key; the caller drops its history and its connection.

        Raises NotFoundError, ForbiddenError, StepUpRequiredError.
        """
        host = self.get(id_or_name, principal.view(Permission.HOSTS_VIEW))
        principal.require(Permission.HOSTS_EDIT, host)
        principal.require_step_up(self._clock.now_ms())
        await self._hosts.remove(host.id, self._clock.now_ms())
        await self._keys.forget(host.id)
        self._fleet.remove(host)
        self._windows.forget()
        await self._events.note_host(EventKind.HOST_REMOVED, host, f"{host.name} was removed.")
        return host

    async def greet(self, host: LiveHost, hello: Hello) -> None:
        """What an agent says of itself when it connects: facts, interval, clock; and what is news about it."""
        now_ms = self._clock.now_ms()
        facts, before = bounded_facts(hello.facts), host.row.facts
        if facts != before or hello.interval_ms != host.row.interval_ms:
            try:
                self._fleet.add(await self._hosts.update_facts(host.id, facts, interval_ms=hello.interval_ms))
            except StorageFullError as error:
                _LOG.warning("the facts of a host were not stored: %s", error)
            self._windows.forget()
        host.clock_offset_ms = max(-MAX_CLOCK_OFFSET_MS, min(MAX_CLOCK_OFFSET_MS, hello.clock_ms - now_ms))
        if before.boot_id and facts.boot_id and before.boot_id != facts.boot_id:
            await self._events.note_host(EventKind.HOST_REBOOTED, host, f"{host.name} was rebooted.")
        if abs(host.clock_offset_ms) > CLOCK_WARNING_MS:
            seconds = host.clock_offset_ms / 1000
            way = "ahead of" if seconds > 0 else "behind"
            await self._events.note_host(
                EventKind.CLOCK_STEPPED,
                host,
                f"The clock of {host.name} is {abs(seconds):.1f} s {way} the server's.",
                severity=Severity.WARNING,
            )


def _used_up() -> UnauthenticatedError:
    return unauthenticated("This enrolment token is unknown, used up or expired. Make a new one: cybercorp enroll.")


def _merged(labels: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in {**labels, **changes}.items() if value is not None}


def check_labels(labels: Mapping[str, str | None]) -> dict[str, str | None]:
    """Labels that a selector can name. Raises InvalidInputError."""
    if len(labels) > MAX_LABELS:
        raise InvalidInputError(f"{len(labels)} labels are too many.", hint=f"Set {MAX_LABELS} at most.")
    for key, value in labels.items():
        texts = (key, *([value] if value is not None else []))
        wrong = any(len(text) > MAX_LABEL or not text.isprintable() for text in texts)
        if wrong or not key or any(sign in key for sign in " =!<>*?") or key == "state":
            raise InvalidInputError(
                f"The label '{key[:80]}' cannot be set.",
                hint=f"A label has up to {MAX_LABEL} printable characters; its name none of = ! < > * ? and no blank.",
            )
    return dict(labels)
