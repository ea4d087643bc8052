"""Access tokens: JWT (RFC 9068) signed with Ed25519, five minutes long, without any right in them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.core.ids import new_id
from cybercorp.security.vault import Vault
from cybercorp.server.services.keys import new_signing_key
from cybercorp.store.records.signing_keys import Purpose, SigningKeyRepository, SigningKeyRow

LIFETIME_S = 300
LEEWAY_S = 30
KEY_DAYS = 30
RELOAD_S = 5.0
TYPE = "at+jwt"
ALGORITHM = "EdDSA"
ISSUER = "cybercorp"
_DAY_MS = 86_400_000
_REQUIRED = ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: which user, in which session."""

    sub: str
    sid: str
    jti: str


class AccessTokens:
    """Signs with the newest key, believes every key that is not retired. `audience` is this installation's epoch."""

    def __init__(self, keys: SigningKeyRepository, vault: Vault, clock: Clock, audience: str) -> None:
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._audience = audience
        self._known: dict[str, SigningKeyRow] = {}
        self._loaded_at = -RELOAD_S
        self._signing: SigningKeyRow | None = None

    async def sign(self, user_id: str, session_id: str) -> str:
        """A token for this session."""
        import jwt
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = await self._signing_key()
        now_s = self._clock.now_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": user_id,
            "sid": session_id,
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            "jti": new_id("jwt"),
        }
        private = Ed25519PrivateKey.from_private_bytes(key.private_key)
        return jwt.encode(claims, private, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": thumbprint(key)})

    async def verify(self, token: str) -> AccessClaims:
        """The claims of a token that we signed and that is not over. Raises UnauthenticatedError, always the same."""
        import jwt
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if set(header) != {"alg", "typ", "kid"} or header["typ"] != TYPE or header["alg"] != ALGORITHM:
                raise _invalid()
            key = await self._key(kid if isinstance(kid, str) else "")
            claims: dict[str, Any] = jwt.decode(
                token,
                Ed25519PublicKey.from_public_bytes(key.public_key),
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            now_s = self._clock.now_ms() / 1000
            issued, expires = claims["iat"], claims["exp"]
            times = type(issued) is int and type(expires) is int and 0 < expires - issued <= LIFETIME_S
            if not times or not issued - LEEWAY_S <= now_s < expires or "nbf" in claims:
                raise _invalid()
            return msgspec.convert({name: claims[name] for name in ("sub", "sid", "jti")}, AccessClaims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, TypeError, RecursionError, KeyError) as error:
            raise _invalid() from error

    async def _key(self, kid: str) -> SigningKeyRow:
        key = self._known.get(kid)
        now = self._clock.monotonic()
        if key is None and now - self._loaded_at >= RELOAD_S:  # else whoever makes up kids would read the table
            await self._load()
            key = self._known.get(kid)
        if key is None or (key.retires_at_ms or 0) + (LIFETIME_S + LEEWAY_S) * 1000 < self._clock.now_ms():
            raise _invalid()
        return key

    async def _signing_key(self) -> SigningKeyRow:
        now_ms = self._clock.now_ms()
        if self._signing is None or (self._signing.retires_at_ms or 0) <= now_ms:
            await self._load()
            fresh = [key for key in self._known.values() if key.private_key and (key.retires_at_ms or 0) > now_ms]
            if fresh:
                self._signing = max(fresh, key=lambda key: key.created_at_ms)
            else:
                made = new_signing_key(Purpose.ACCESS, now_ms)
                made = msgspec.structs.replace(made, retires_at_ms=now_ms + KEY_DAYS * _DAY_MS)
                await self._keys.create(made, self._vault)
                self._signing = self._known[thumbprint(made)] = made
        return self._signing

    async def _load(self) -> None:
        rows = await self._keys.list_(Purpose.ACCESS, self._vault)
        self._known = {thumbprint(row): row for row in rows if row.retired_at_ms is None}
        self._loaded_at = self._clock.monotonic()


def thumbprint(key: SigningKeyRow) -> str:
    """The key's JWK thumbprint (RFC 7638) for Ed25519, in hexadecimal."""
    from base64 import urlsafe_b64encode

    x = urlsafe_b64encode(key.public_key).rstrip(b"=").decode()
    return hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).hexdigest()


def _invalid() -> UnauthenticatedError:
    return UnauthenticatedError("This access token is not valid, or is over.", hint="Log in: cybercorp login.")
