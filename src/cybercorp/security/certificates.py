"""Certificates (RFC 5280) of our own authority: ECDSA on P-256, made and read. No network, no files.

A pin is `sha256:` and the base64url of the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469's words): it stays
when the certificate is made anew with the same key.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from cybercorp.core.errors import InvalidInputError

if TYPE_CHECKING:
    from cryptography import x509

PIN_PREFIX = "sha256:"
AUTHORITY_DAYS = 3650
LEAF_DAYS = 30
MAX_NAMES = 50
_BACKDATED = timedelta(hours=1)  # clocks differ; of a short life a tenth
_MAX_PEM = 256 * 1024


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    certificate: str
    private_key: str

    def __repr__(self) -> str:
        return f"KeyPair({pin_of(self.certificate)})"


class Validity(msgspec.Struct, frozen=True):
    """Unix milliseconds."""

    not_before_ms: int
    not_after_ms: int


def make_authority(title: str, now_ms: int, days: float = AUTHORITY_DAYS) -> KeyPair:
    """A certificate authority that may sign leaves and nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(title)
    made = (
        _builder(name, name, key.public_key(), now_ms, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(made, key)


def issue(authority: KeyPair, names: Sequence[str], now_ms: int, days: float = LEAF_DAYS) -> KeyPair:
    """A server's certificate for these host names and addresses, signed by the authority, and never good for longer.

    Raises InvalidInputError, also for an authority that is over (`authority_over`).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    left = issuer.not_valid_after_utc - datetime.fromtimestamp(now_ms / 1000, UTC)
    if left <= timedelta(0):
        raise InvalidInputError(
            "The server's authority is over.",
            hint="Make another one: cybercorp server rotate-authority.",
            code="authority_over",
        )
    signer: Any = load_pem_private_key(authority.private_key.encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [_alternative(name) for name in check_names(names)]
    made = (
        _builder(_name(names[0][:64]), issuer.subject, key.public_key(), now_ms, min(days, left / timedelta(days=1)))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pair(made, key)


def check_names(names: Sequence[str]) -> list[str]:
    """Host names and addresses that a certificate can carry, each once. Raises InvalidInputError (`invalid_name`)."""
    found: list[str] = []
    for name in names:
        cleaned = name.strip().strip("[]").lower().rstrip(".")
        labels = cleaned.split(".")
        host = cleaned.isascii() and len(cleaned) <= 253 and all(_is_label(one) for one in labels)
        if not (_is_address(cleaned) or host):
            raise InvalidInputError(
                f"'{name[:80]}' is no host name and no address.",
                hint="Write it as other machines reach this one: monitor.example.com or 192.0.2.7.",
                code="invalid_name",
            )
        if cleaned not in found:
            found.append(cleaned)
    if not found or len(found) > MAX_NAMES:
        raise InvalidInputError(f"A certificate has 1 to {MAX_NAMES} names.", hint="Name this machine.")
    return found


def names_of(certificate: str) -> list[str]:
    """The host names and addresses of a certificate (PEM)."""
    from cryptography import x509

    loaded = _load(certificate)
    try:
        found = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def validity_of(certificate: str) -> Validity:
    """When a certificate (PEM) is good."""
    loaded = _load(certificate)
    return Validity(
        round(loaded.not_valid_before_utc.timestamp() * 1000), round(loaded.not_valid_after_utc.timestamp() * 1000)
    )


def pin_of(certificate: str) -> str:
    """The pin of the key of a certificate (PEM). Raises InvalidInputError (`invalid_certificate`)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = _load(certificate).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PIN_PREFIX + base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).decode().rstrip("=")


def check_pin(text: str) -> str:
    """A pin as it is kept. Raises InvalidInputError (`invalid_pin`)."""
    made = text.strip()
    digits = made.removeprefix(PIN_PREFIX)
    if len(digits) != 43 or not all(one.isascii() and (one.isalnum() or one in "-_") for one in digits):
        raise InvalidInputError(
            f"'{made[:60]}' is no pin of a certificate.",
            hint="Copy it whole: sha256: and 43 characters; `cybercorp enroll` prints it.",
            code="invalid_pin",
        )
    return PIN_PREFIX + digits


def split_pem(text: str) -> list[str]:
    """The certificates of a PEM document, in order. Raises InvalidInputError (`invalid_certificate`).

    Each is written anew from what was read: readers of PEM differ in what they pass over (RFC 7468, section 2), and
    OpenSSL must not find a certificate in a part whose pin was taken of another one.
    """
    end = "-----END CERTIFICATE-----"
    parts = text[:_MAX_PEM].split(end)[:-1]
    if not parts or len(parts) > 20:
        raise _invalid()
    return [ssl.DER_cert_to_PEM_cert(_der(f"{part}{end}\n")) for part in parts]


def trusting(authorities: str) -> ssl.SSLContext:
    """A client's TLS 1.3 context that trusts these authorities (PEM) and nobody else. Raises InvalidInputError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: it is not ASCII
        raise _invalid() from error
    return context


def _load(certificate: str) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except (ValueError, UnicodeEncodeError) as error:
        raise _invalid() from error


def _der(certificate: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return _load(certificate).public_bytes(Encoding.DER)


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, now_ms: int, days: float) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_BACKDATED, timedelta(days=days / 10)))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pair(certificate: x509.Certificate, key: Any) -> KeyPair:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return KeyPair(certificate.public_bytes(Encoding.PEM).decode(), private)


def _alternative(name: str) -> Any:
    from cryptography import x509

    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label[0] != "-" != label[-1] and all(one.isalnum() or one in "-_" for one in label)


def _invalid() -> InvalidInputError:
    return InvalidInputError("This is no certificate (PEM).", hint="Check the file.", code="invalid_certificate")
