"""How an agent becomes a host: join with an enrolment token once, then keep its own credential in agent.json (0600)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cybercorp.agent.log import Log
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.wake import Wake
from cybercorp.client.addresses import check_url
from cybercorp.client.backoff import Backoff
from cybercorp.client.enrolment import enrol
from cybercorp.client.trust import with_authority
from cybercorp.core.errors import ConflictError, NotFoundError, UnreachableError
from cybercorp.core.paths import ensure_private_dir
from cybercorp.monitors.facts import read_facts
from cybercorp.protocol.agents import EnrolRequest
from cybercorp.protocol.hosts import check_host_name
from cybercorp.security.agent_keys import new_agent_key
from cybercorp.security.certificates import check_pin
from cybercorp.security.credentials import AGENT_FILE, Credential, read_credential, write_credential

FALLBACK_URL = "http://127.0.0.1:8765"


def join(
    url: str,
    enrolment_token: str,
    *,
    state_dir: Path,
    name: str | None = None,
    pins: Sequence[str] = (),
    timeout_s: float = 10.0,
) -> Credential:
    """Join a server as the host `name` (this machine's name by default) and write agent.json in `state_dir`.

    `pins` say which server it must be; without them its certificate is one that this system trusts.

    Raises ConflictError (`host_name_taken`) where another host has the name, UnauthenticatedError for a token that is
    unknown, used up or expired, UnreachableError, InvalidInputError for a name that no host may have.
    """
    address = check_url(url)
    ensure_private_dir(state_dir)
    facts = read_facts()
    wanted = check_host_name(name or "-".join(facts.hostname.split()) or "host")
    try:
        asked = Credential(url=address, token=enrolment_token, pins=tuple(check_pin(pin) for pin in pins))
        if asked.pins:
            asked = with_authority(asked)
        key = new_agent_key()
        request = EnrolRequest(name=wanted, facts=facts, public_key=key.public)
        answer = enrol(asked, request, timeout_s=timeout_s)
    except ConflictError as error:
        raise ConflictError(
            error.message,
            hint=f"Choose another name with --name, or remove the old host: cybercorp hosts remove {wanted}",
            code=error.error_code,
        ) from error
    credential = Credential(
        url=address,
        token="",
        host_id=answer.host_id,
        name=answer.name,
        pins=tuple(answer.pins) or asked.pins,
        authority=asked.authority,
        private_key=key.private,
        public_key=key.public,
        generation=1,
    )
    if credential.pins and not credential.authority:
        credential = with_authority(credential)
    write_credential(state_dir / AGENT_FILE, credential)
    return credential


def find_own_credential(settings: AgentSettings, state_dir: Path) -> Credential | None:
    """What this agent proves to the server, from agent.json; None where it has not joined yet."""
    url = check_url(settings.url) if settings.url else None
    kept = read_credential(state_dir / AGENT_FILE)
    if kept is None:
        return None
    # The server may have moved to another port or name since; the key is still this host's.
    return msgspec.structs.replace(kept, url=url or kept.url)


def join_when_possible(settings: AgentSettings, state_dir: Path, wake: Wake, log: Log) -> Credential | None:
    """Join by the settings' enrolment token, waiting for a server that is not up yet; None when told to stop.

    Raises NotFoundError (`not_enrolled`) without such a token, and what `join` raises except UnreachableError.
    """
    if settings.enrolment_token is None:
        raise NotFoundError(
            f"This agent has not joined a server yet: there is no {AGENT_FILE} in {state_dir}.",
            hint="On the server's side `cybercorp enroll` prints the line to paste here: … cybercorp agent join URL",
            code="not_enrolled",
        )
    backoff = Backoff(first_s=0.2, cap_s=5.0)
    while not wake.stopping:
        try:
            credential = join(
                settings.url or FALLBACK_URL,
                settings.enrolment_token,
                state_dir=state_dir,
                name=settings.name,
                pins=settings.pins,
                timeout_s=settings.connect_timeout_s,
            )
        except UnreachableError as error:
            log.limited("join", str(error))
            wake.wait(backoff.failed())
            continue
        log.line(f"Joined {credential.url} as {credential.name}.")
        return credential
    return None
