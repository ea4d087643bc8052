"""The certificate that the server shows, and the pins by which clients know its authority."""

from __future__ import annotations

import msgspec

AUTHORITY_PATH = "/.well-known/cybercorp/authority.pem"


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix milliseconds. The first pin is of the authority that signs, the second of the one after it.

    `authorities` are the certificates of both (PEM).
    """

    names: list[str]
    not_before_ms: int
    not_after_ms: int
    renewed_at_ms: int
    pins: list[str]
    authorities: str
