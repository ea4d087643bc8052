"""Which server is believed to be itself: by pins of its authority, or by the authorities of this system.

A client that has pins trusts their authority alone. It asks the server for the certificates without sending anything
of its own, keeps the one whose key is pinned, and only then connects for real. A certificate that no longer verifies is
looked up once more (the backup may sign now); a key that is in no pin is a hard stop before any secret is sent.
"""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from cybercorp.client.addresses import is_loopback, unreachable
from cybercorp.core.errors import InvalidInputError, UntrustedServerError
from cybercorp.protocol.certificates import AUTHORITY_PATH
from cybercorp.security.credentials import Credential
from cybercorp.security.display import safe_text

_MAX_BYTES = 64 * 1024
_TIMEOUT_S = 10.0


def make_context(credential: Credential) -> ssl.SSLContext | None:
    """The TLS context for a server's address, None for plain HTTP, which is for loopback alone.

    With pins and no authority yet, it is fetched first. Raises UntrustedServerError (`plain_text`), UnreachableError.
    """
    if not credential.url.startswith("https:"):
        if not is_loopback(credential.url):
            raise UntrustedServerError(
                f"Over {safe_text(credential.url, 200)} everybody in between would read what is sent, and change it.",
                hint="Write https:// instead; no server of ours speaks plain HTTP to other machines.",
                code="plain_text",
            )
        return None
    if credential.pins:
        from cybercorp.security.certificates import trusting

        return trusting(credential.authority or fetch_pinned(credential.url, credential.pins))
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def with_authority(credential: Credential) -> Credential:
    """The same credential with the authority that is pinned, asked of the server. Raises as `fetch_pinned` does."""
    return msgspec.structs.replace(credential, authority=fetch_pinned(credential.url, credential.pins))


def fetch_pinned(url: str, pins: Sequence[str]) -> str:
    """The certificates (PEM) of this server's authorities whose keys are pinned.

    Raises UntrustedServerError (`untrusted_server`) where none of them is, UnreachableError.
    """
    from cybercorp.security.certificates import pin_of, split_pem

    try:
        offered = split_pem(fetch_authorities(url))
    except InvalidInputError as error:
        raise untrusted(url) from error
    chosen = [one for one in offered if any(hmac.compare_digest(pin_of(one), pin) for pin in pins)]
    if not chosen:
        raise untrusted(url)
    return "".join(chosen)


def fetch_authorities(url: str) -> str:
    """What a server says its authorities are (PEM). Nobody vouches for it, and nothing secret is sent.

    Raises UnreachableError, UntrustedServerError where there is no such document.
    """
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what comes is compared with pins, or shown to a person
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", f"{parts.path}{AUTHORITY_PATH}")
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(url, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise UntrustedServerError(
            f"The server at {url} has no authority of its own.",
            hint="Its certificate must be one that this system trusts: leave the pin out, or check the address.",
        )
    return body.decode("ascii", "replace")


def is_known_to_the_system(url: str) -> bool:
    """Whether the server's certificate is one that this system trusts. Raises UnreachableError."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return False
    except OSError as error:
        raise unreachable(url, str(error) or type(error).__name__) from error


def untrusted(url: str) -> UntrustedServerError:
    """For a server whose key is none of those that are known. Nothing was sent to it."""
    return UntrustedServerError(
        f"The server at {url} is not the one that is known here: its key is another one. Nothing was sent to it.",
        hint="If its authority was made anew on purpose, log in or join again with the new pin; else somebody sits "
        "between.",
    )


def untrusted_certificate(credential: Credential) -> UntrustedServerError:
    """For a certificate that did not verify: of somebody else's authority, for another name, or over."""
    if credential.pins:
        return UntrustedServerError(
            f"The certificate of {credential.url} was not made by the known authority, or not for this name.",
            hint="Log in or join again if its authority was rotated; check the name in the address.",
        )
    return UntrustedServerError(
        f"The certificate of {credential.url} is not trusted.",
        hint="Give the pin of its authority (over there: cybercorp server certificate): login URL --pin sha256:…",
    )


def is_verification(error: BaseException | None) -> bool:
    """Whether a connection failed because the server's certificate did not verify."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
