"""A log-in as it is kept on this machine: the profile knows the server, the session store holds the tokens."""

from __future__ import annotations

import msgspec

from cybercorp.client.authorization import Authorization, stored_session
from cybercorp.client.profiles import Profile, forget_default, read_profiles, save_profile
from cybercorp.client.session_store import SessionStore
from cybercorp.protocol.logins import Tokens
from cybercorp.security.credentials import Credential


def keep_login(profile: str, credential: Credential, tokens: Tokens, *, default: bool) -> str:
    """Keep a log-in; the id of the session that it takes the place of, if it is the same user's, else empty.

    `credential` is the server as it was reached: its pins and authority are what the profile trusts from now on, with
    those that the server told over that connection.
    """
    known = read_profiles().profiles.get(profile)
    kept = msgspec.structs.replace(known, url=credential.url) if known else Profile(url=credential.url)
    pins, authority = credential.pins, credential.authority
    if pins and tokens.pins:  # also the backup's, which is not known before
        pins, authority = tuple(tokens.pins), tokens.authorities
    kept = msgspec.structs.replace(kept, pins=pins, authority=authority, user=tokens.user, token="")
    save_profile(profile, kept, default=default)
    store = SessionStore(profile)
    before = store.load()
    store.save(stored_session(credential.url, tokens))
    replaced = before is not None and before.user == tokens.user and before.session_id != tokens.session_id
    return before.session_id if before is not None and replaced else ""


class KeptLogin:
    """That of a client which found its server by a profile; others show a token that was given to them."""

    def __init__(self, credential: Credential, authorization: Authorization) -> None:
        self._credential = credential
        self._authorization = authorization

    @property
    def possible(self) -> bool:
        """Whether a log-in would be used: not where a token was given, and where the server is known by a profile."""
        return bool(self._credential.profile) and not self._credential.token

    @property
    def user(self) -> str:
        """Who logged in last, empty where nobody did."""
        known = read_profiles().profiles.get(self._credential.profile)
        return known.user if known else ""

    def keep(self, tokens: Tokens) -> str:
        """Every request shows this log-in from now on; returns as `keep_login` does."""
        replaced = keep_login(self._credential.profile, self._credential, tokens, default=False)
        self._authorization.forget()
        return replaced

    def forget(self) -> None:
        """Nobody is logged in any more."""
        SessionStore(self._credential.profile).remove()
        forget_default(self._credential.profile)
        self._authorization.forget()
