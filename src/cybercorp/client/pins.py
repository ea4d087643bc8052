"""The pins of a server: the backup looked for when the authority was rotated, new ones learned, both kept."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from cybercorp.client.profiles import keep_authority
from cybercorp.client.trust import with_authority
from cybercorp.core.errors import CyberCorpError, InvalidInputError
from cybercorp.security.credentials import Credential

_MAX_PINS = 4


def trust_backup(credential: Credential) -> Credential:
    """The authority may have been rotated: trust the one that is pinned now, and keep that with the profile.

    Raises UntrustedServerError where no key of the server's is pinned, UnreachableError.
    """
    found = with_authority(credential)
    keep_authority(found)
    return found


def learn_pins(credential: Credential, pins: Sequence[str], authorities: str = "") -> Credential:
    """What a server said over a connection that was verified by the pins of this credential: kept with the profile.

    `authorities` (PEM) is what they are of, where that is told too. One of them must be known already, as after a
    rotation: a server behind somebody else's TLS cannot replace them all. Where that is not so, or nothing is new, or
    over plain HTTP, the credential stays as it is.
    """
    told = tuple(pins)
    if told == credential.pins or not credential.url.startswith("https:") or not set(told) & set(credential.pins):
        return credential
    from cybercorp.security.certificates import check_pin, pin_of, split_pem

    offered = authorities or credential.authority
    try:
        checked = tuple(check_pin(one) for one in told[:_MAX_PINS])
        known = [one for one in split_pem(offered) if pin_of(one) in checked] if offered else []
    except InvalidInputError:
        return credential
    learned = msgspec.structs.replace(credential, pins=checked, authority="".join(known))
    with contextlib.suppress(CyberCorpError):  # what cannot be kept now is told with the next answer
        keep_authority(learned)
    return learned
