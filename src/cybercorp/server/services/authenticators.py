"""What an authenticator says, checked: WebAuthn Level 3 (W3C), sections 7.1 and 7.2, by py_webauthn.

The user is always verified by the authenticator, so that a passkey is two factors; attestations are neither asked for
nor read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cybercorp.core.errors import InvalidInputError, UnauthenticatedError

NAME = "CyberCorp"
CHALLENGE_BYTES = 32
LOCAL_NAME = "localhost"
_MOST_TEXT = 64
_OF_PARSERS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one: its public key (COSE, RFC 9052) and the name of the site that it is good for."""

    credential_id: bytes
    public_key: bytes
    rp_id: str
    transports: list[str] = []


class Site(msgspec.Struct, frozen=True):
    """Where a ceremony takes place: `rp_id` is a host name, `origin` what a browser calls the page's origin."""

    rp_id: str
    origin: str


def site_of(origin: str | None) -> Site:
    """The site of a page. Raises InvalidInputError (`passkey_site`) where a browser would do no ceremony there."""
    try:
        parts = urlsplit(origin or "")
        name = (parts.hostname or "").lower()
    except ValueError:
        parts, name = urlsplit(""), ""
    if not name or not (parts.scheme == "https" or (parts.scheme == "http" and name == LOCAL_NAME)):
        raise _no_site("Passkeys work on pages with TLS, or on localhost.", "Open the page in a browser, over https.")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return Site(name, f"{parts.scheme}://{parts.netloc.lower()}")
    raise _no_site(
        "A passkey belongs to a name, and this server was reached by a number.",
        "Reach it by a name of its certificate (setting allowed_hosts); on this machine: http://localhost.",
    )


def registration_options(
    site: Site, challenge: bytes, user_id: str, user_name: str, known: Sequence[Passkey], timeout_s: int
) -> dict[str, Any]:
    """What `navigator.credentials.create()` takes (PublicKeyCredentialCreationOptionsJSON)."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    return options_to_json_dict(
        generate_registration_options(
            rp_id=site.rp_id,
            rp_name=NAME,
            user_name=user_name,
            user_id=user_id.encode(),
            challenge=challenge,
            timeout=timeout_s * 1000,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_descriptors(known),
        )
    )


def assertion_options(site: Site, challenge: bytes, known: Sequence[Passkey], timeout_s: int) -> dict[str, Any]:
    """What `navigator.credentials.get()` takes (PublicKeyCredentialRequestOptionsJSON); `known` empty: any passkey."""
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    return options_to_json_dict(
        generate_authentication_options(
            rp_id=site.rp_id,
            challenge=challenge,
            timeout=timeout_s * 1000,
            allow_credentials=_descriptors(known),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def check_registration(credential: dict[str, Any], site: Site, challenge: bytes) -> tuple[Passkey, int]:
    """The new passkey and its counter. Raises InvalidInputError (`passkey_refused`)."""
    from webauthn import verify_registration_response
    from webauthn.helpers import parse_attestation_object, parse_registration_credential_json
    from webauthn.helpers.structs import AttestationFormat

    with _reading():
        parsed = parse_registration_credential_json(credential)
        if parse_attestation_object(parsed.response.attestation_object).fmt != AttestationFormat.NONE:
            raise ValueError("an attestation that nobody asked for")
        _check_not_embedded(parsed.response.client_data_json)
        made = verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
        transports = [one.value for one in parsed.response.transports or []]
    passkey = Passkey(
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        rp_id=site.rp_id,
        transports=transports,
    )
    return passkey, made.sign_count


def claimed_user(credential: dict[str, Any]) -> tuple[str, bytes]:
    """Whose passkey this says it is (the user's id), and which one; nothing of it is proven yet.

    Raises InvalidInputError (`passkey_refused`).
    """
    from webauthn.helpers import parse_authentication_credential_json

    with _reading():
        parsed = parse_authentication_credential_json(credential)
        return (parsed.response.user_handle or b"").decode()[:_MOST_TEXT], parsed.raw_id


def check_assertion(credential: dict[str, Any], site: Site, challenge: bytes, passkey: Passkey, counter: int) -> int:
    """The passkey's counter after this use. Raises UnauthenticatedError (`wrong_passkey`)."""
    from webauthn import verify_authentication_response
    from webauthn.helpers import parse_authentication_credential_json

    try:
        with _reading():
            parsed = parse_authentication_credential_json(credential)
            _check_not_embedded(parsed.response.client_data_json)
            return verify_authentication_response(
                credential=parsed,
                expected_challenge=challenge,
                expected_rp_id=site.rp_id,
                expected_origin=site.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=counter,
                require_user_verification=True,
            ).new_sign_count
    except InvalidInputError as error:
        raise wrong_passkey() from error


def wrong_passkey() -> UnauthenticatedError:
    """One answer for what is unknown, forged, replayed or of somebody else."""
    return UnauthenticatedError(
        "This passkey is not known here, or its answer is not right.",
        hint="Choose another one, or begin again in the terminal.",
        code="wrong_passkey",
    )


def _check_not_embedded(client_data: bytes) -> None:
    """Raises ValueError for a ceremony in a frame of another site (`crossOrigin`)."""
    from webauthn.helpers import parse_client_data_json

    if parse_client_data_json(client_data).cross_origin:
        raise ValueError("in a frame of another site")


def _descriptors(known: Sequence[Passkey]) -> list[Any]:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=one.credential_id, transports=[AuthenticatorTransport(transport) for transport in one.transports]
        )
        for one in known
    ]


@contextmanager
def _reading() -> Iterator[None]:
    """Foreign bytes are read here (JSON, CBOR, COSE, ASN.1): whatever a parser says of them is one refusal."""
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        yield
    except (WebAuthnException, *_OF_PARSERS) as error:
        raise InvalidInputError(
            "The answer of the authenticator is not right.",
            hint="Try again with the page that the terminal named.",
            code="passkey_refused",
        ) from error


def _no_site(message: str, hint: str) -> InvalidInputError:
    return InvalidInputError(message, hint=hint, code="passkey_site")
