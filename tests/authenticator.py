"""A passkey authenticator in software (CTAP 2 as a browser shows it, WebAuthn Level 3): real keys, real signatures.

Every knob that a hostile browser or authenticator could turn is an argument.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """One device with one passkey at most; `counts` says whether its signature counter moves."""

    def __init__(self, origin: str = "https://fleet.test", *, counts: bool = True) -> None:
        self.origin = origin
        self.counts = counts
        self.counter = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.user_handle = b""

    def create(
        self,
        options: dict[str, Any],
        *,
        flags: int = PRESENT | VERIFIED,
        origin: str | None = None,
        challenge: str | None = None,
        rp_id: str | None = None,
        kind: str = "webauthn.create",
        attestation: str = "none",
        cross_origin: bool = False,
    ) -> dict[str, Any]:
        """`navigator.credentials.create()`."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        authenticator_data = self._data(rp_id or options["rp"]["id"], flags | ATTESTED) + attested
        client_data = self._client_data(
            kind, options["challenge"] if challenge is None else challenge, origin, cross_origin
        )
        self.user_handle = data(options["user"]["id"])
        made = {"fmt": attestation, "attStmt": {}, "authData": authenticator_data}
        response = {"clientDataJSON": text(client_data), "attestationObject": text(cbor2.dumps(made)), "transports": []}
        return self._credential(response)

    def get(
        self,
        options: dict[str, Any],
        *,
        flags: int = PRESENT | VERIFIED,
        origin: str | None = None,
        challenge: str | None = None,
        rp_id: str | None = None,
        kind: str = "webauthn.get",
        user_handle: bytes | None = None,
        counter: int | None = None,
        forged: bool = False,
    ) -> dict[str, Any]:
        """`navigator.credentials.get()`; `forged`: signed with another key."""
        if self.counts:
            self.counter += 1
        authenticator_data = self._data(rp_id or options["rpId"], flags, counter)
        asked = options["challenge"] if challenge is None else challenge
        client_data = self._client_data(kind, asked, origin, False)
        key = ec.generate_private_key(ec.SECP256R1()) if forged else self.key
        signature = key.sign(authenticator_data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        handle = self.user_handle if user_handle is None else user_handle
        response = {
            "clientDataJSON": text(client_data),
            "authenticatorData": text(authenticator_data),
            "signature": text(signature),
            "userHandle": text(handle) if handle else None,
        }
        return self._credential(response)

    def _data(self, rp_id: str, flags: int, counter: int | None = None) -> bytes:
        count = self.counter if counter is None else counter
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str, origin: str | None, cross_origin: bool) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": origin or self.origin, "crossOrigin": cross_origin}
        return json.dumps(said).encode()

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = text(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "clientExtensionResults": {}, "response": response}
