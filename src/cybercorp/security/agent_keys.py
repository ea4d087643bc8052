"""An agent's key (Ed25519, RFC 8032), made on its host, and what it signs when it connects.

The proof covers the server's nonce, the host, the generation of the key with its mark, and the certificate that the
agent saw: it is worth nothing on another connection, for another host, or to somebody in between who shows another one.
"""

from __future__ import annotations

import hashlib
import os

import msgspec

NONCE_BYTES = 32
MARK_BYTES = 16
KEY_BYTES = 32


class AgentKey(msgspec.Struct, frozen=True):
    """Both halves, hexadecimal."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"AgentKey({self.public})"


def new_agent_key() -> AgentKey:
    """A fresh one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    return AgentKey(made.private_bytes_raw().hex(), made.public_key().public_bytes_raw().hex())


def new_nonce() -> str:
    """32 random bytes, hexadecimal."""
    return os.urandom(NONCE_BYTES).hex()


def new_mark() -> str:
    """16 random bytes, hexadecimal: what nobody can know of a generation but who it was handed to."""
    return os.urandom(MARK_BYTES).hex()


def server_key(certificate: bytes | None) -> str:
    """What a proof says of the server: the SHA-256 of its certificate (DER), empty where there is none."""
    return hashlib.sha256(certificate).hexdigest() if certificate else ""


def is_public_key(text: str) -> bool:
    """Whether it can be one."""
    try:
        return len(bytes.fromhex(text)) == KEY_BYTES and len(text) == 2 * KEY_BYTES
    except ValueError:
        return False


def sign_proof(private: str, nonce: str, host_id: str, generation: int, seen: str, mark: str = "") -> str:
    """The signature, hexadecimal. `seen` is the server's key as `server_key` computes it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private))
    return key.sign(_signed(nonce, host_id, generation, seen, mark)).hex()


def verify_proof(
    public: str, signature: str, nonce: str, host_id: str, generation: int, seen: str, mark: str = ""
) -> bool:
    """Whether whoever holds the private half has signed exactly this."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), _signed(nonce, host_id, generation, seen, mark))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(nonce: str, host_id: str, generation: int, seen: str, mark: str) -> bytes:
    return b"cybercorp agent proof\0" + msgspec.json.encode((nonce, host_id, generation, seen, mark))
