"""Hosts that have joined, as a text that tests hand around: the host's id and the private half of its key.

A test's agent confirms nothing, so that its generation stays the first one.
"""

from __future__ import annotations

from cybercorp.protocol.agents import Proof
from cybercorp.security.agent_keys import AgentKey, new_agent_key, sign_proof
from cybercorp.security.credentials import Credential

_BETWEEN = "."


def new_key() -> AgentKey:
    """For a host that is about to join."""
    return new_agent_key()


def joined(host_id: str, key: AgentKey) -> str:
    """The text."""
    return f"{host_id}{_BETWEEN}{key.private}"


def headers_of(text: str) -> dict[str, str]:
    """What the handshake says; a text that is no joined host is a token."""
    host_id, found, _ = text.partition(_BETWEEN)
    return {"Authorization": f"Agent-Key {host_id}" if found else f"Bearer {text}"}


def proof_of(text: str, nonce: str, seen: str = "") -> Proof:
    """The answer to a challenge. `seen` is the server's key, where it speaks TLS."""
    host_id, _, private = text.partition(_BETWEEN)
    signed = sign_proof(private, nonce, host_id, 1, seen)
    return Proof(host_id=host_id, generation=1, server_key=seen, signature=signed)


def credential_of(text: str, url: str) -> Credential:
    """What a real agent keeps of it."""
    host_id, _, private = text.partition(_BETWEEN)
    return Credential(url=url, token="", host_id=host_id, private_key=private, generation=1)
