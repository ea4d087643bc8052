"""REST: the server's certificate, and the authority that made it."""

from __future__ import annotations

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from cybercorp.protocol.certificates import AUTHORITY_PATH, CertificateStatus
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.guards import ANONYMOUS
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.authority import no_certificate
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_ADMIN = {"permission": Permission.KEYS_ADMIN, "audit": BY_ITSELF}


class CertificateController(Controller):
    """Certificates: what the server shows, and how clients know it."""

    tags = ["certificates"]  # noqa: RUF012 - Litestar declares it on the instance

    @get(
        AUTHORITY_PATH,
        summary="The authorities",
        opt={"permission": ANONYMOUS},
        media_type="application/x-pem-file",
        responses=problems(404),
    )
    async def authorities(self, services: NamedDependency[Services]) -> Response[str]:
        """The certificates of the authority that signs and of the one after it. Public: a client compares its pins."""
        if not services.certificates.own:
            raise no_certificate()
        return Response(services.certificates.authorities, media_type="application/x-pem-file")

    @get(
        "/api/v1/certificate",
        summary="The certificate",
        opt={"permission": Permission.SERVER_VIEW},
        responses=problems(404),
    )
    async def status(self, services: NamedDependency[Services]) -> CertificateStatus:
        """Its names, how long it is good, and the pins of its authorities."""
        return services.authority.status()

    @post(
        "/api/v1/certificate/renew",
        summary="Renew the certificate",
        opt=_ADMIN,
        status_code=200,
        responses=problems(404, 409, 503),
    )
    async def renew(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal]
    ) -> CertificateStatus:
        """A new one for the same names, now. Connections go on; clients notice nothing."""
        if not await services.authority.renew(principal, force=True):
            raise no_certificate()
        await services.certificates.look_after()
        return services.authority.status()

    @post(
        "/api/v1/certificate/rotate",
        summary="Rotate the authority",
        opt=_ADMIN,
        status_code=200,
        responses=problems(404, 409, 503),
    )
    async def rotate(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal]
    ) -> CertificateStatus:
        """The backup signs from now on, and a new backup is made. Clients know the backup's pin already."""
        principal.require_step_up(services.clock.now_ms())
        await services.authority.rotate(principal)
        await services.certificates.look_after()
        return services.authority.status()
