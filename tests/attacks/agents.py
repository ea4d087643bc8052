"""An agent's connection message by message, with whatever somebody changes in it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from cybercorp.protocol.agents import Challenge, Confirm, Hello, Proof, Welcome
from cybercorp.protocol.problems import Problem
from cybercorp.security.agent_keys import sign_proof
from cybercorp.security.credentials import Credential
from tests.integration.serving import Peer, ServerThread, now_ms

HELLO = Hello(version="1", stream="s1", oldest_seq=0, newest_seq=0, interval_ms=1000, clock_ms=0)


class KeyPeer(Peer):
    """One that names its host; `prove` answers the challenge."""

    def __init__(self, server: ServerThread, credential: Credential) -> None:
        headers = {"Authorization": f"Agent-Key {credential.host_id}"}
        super().__init__(server.url, "/api/v1/agents/connect", None, headers=headers)
        self.credential = credential

    def prove(self, **changes: Any) -> Welcome | Problem:
        """Answer the challenge, with whatever is changed in the proof; what the server says to it."""
        nonce = changes.pop("nonce", None) or self.expect(Challenge).nonce
        one = self.credential
        told = {"host_id": one.host_id, "generation": one.generation, "server_key": "", "mark": one.mark, **changes}
        key = str(told.pop("private_key", one.private_key))
        signed = sign_proof(
            key, nonce, str(told["host_id"]), int(told["generation"]), str(told["server_key"]), str(told["mark"])
        )
        self.send("agent.proof", Proof(**{"signature": signed, **told}))
        with contextlib.suppress(Exception):
            self.send("agent.hello", msgspec.structs.replace(HELLO, clock_ms=now_ms()))
        while True:
            said = self.receive().payload
            if isinstance(said, Welcome | Problem):
                return said

    def confirm(self, welcome: Welcome) -> None:
        """Tell that it is kept, and come back when the server has read that."""
        self.send("agent.confirm", Confirm(generation=welcome.generation))
        self.send("agent.hello", HELLO)  # a second hello ends the connection: the confirmation was read before it
        self.wait_closed()


def kept(credential: Credential, welcome: Welcome) -> Credential:
    """What an agent has on its disk after this welcome."""
    return msgspec.structs.replace(credential, generation=welcome.generation, mark=welcome.mark)


def connect(server: ServerThread, credential: Credential) -> Credential:
    """Connect once as an agent does, and keep the generation that is handed out."""
    with KeyPeer(server, credential) as peer:
        welcome = peer.prove()
        assert isinstance(welcome, Welcome), welcome
        peer.confirm(welcome)
    return kept(credential, welcome)


def refused(server: ServerThread, credential: Credential) -> str:
    """The code that this one is refused with; empty where it is welcome."""
    with KeyPeer(server, credential) as peer:
        told = peer.prove()
    return told.code if isinstance(told, Problem) else ""
