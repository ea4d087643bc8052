"""REST: the keys that encrypt what is stored."""

from __future__ import annotations

from litestar import Controller, get, post
from litestar.di import NamedDependency

from cybercorp.protocol.keys import KeyStatus
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services


class KeyController(Controller):
    """Data keys: their numbers, states and ages."""

    path = "/api/v1/keys"
    tags = ["keys"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="Describe the keys", opt={"permission": Permission.KEYS_VIEW}, responses=problems())
    async def describe_keys(self, services: NamedDependency[Services]) -> KeyStatus:
        """Which keys there are, which one encrypts, and how far a rotation is."""
        return await services.keys.status()

    @post(
        "/rotate",
        summary="Rotate the data key",
        opt={"permission": Permission.KEYS_ADMIN, "audit": BY_ITSELF},
        status_code=202,
        responses=problems(409, 503),
    )
    async def rotate_key(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> KeyStatus:
        """A new key encrypts from now on; what older ones encrypted is encrypted anew in the background."""
        return await services.keys.rotate(principal)
