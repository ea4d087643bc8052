"""The server itself: version, load, storage, readiness."""

from __future__ import annotations

from cybercorp.client.calls import Caller, complete
from cybercorp.protocol.certificates import CertificateStatus
from cybercorp.protocol.servers import Health, ServerInfo


class AsyncServer:
    """The server that answers: `client.server`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def info(self) -> ServerInfo:
        """Version, protocol, clock, connected agents and viewers, storage: `(await client.server.info()).hosts`."""
        return await self._caller.call("GET", "/api/v1/server", ServerInfo)

    async def certificate(self) -> CertificateStatus:
        """The server's certificate and the pins of its authority. Raises NotFoundError (`no_certificate`)."""
        return await self._caller.call("GET", "/api/v1/certificate", CertificateStatus)

    async def renew_certificate(self) -> CertificateStatus:
        """Make it anew now; connections go on."""
        return await self._caller.call("POST", "/api/v1/certificate/renew", CertificateStatus)

    async def rotate_authority(self) -> CertificateStatus:
        """Let the backup authority sign from now on."""
        return await self._caller.call("POST", "/api/v1/certificate/rotate", CertificateStatus)

    async def ready(self) -> Health:
        """Whether it can do its work, and what fails where it cannot. Needs no token."""
        return await self._caller.call("GET", "/health/ready", Health)


class Server:
    """`AsyncServer` without await."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server

    def info(self) -> ServerInfo:
        """See `AsyncServer.info`."""
        return complete(self._server.info())

    def certificate(self) -> CertificateStatus:
        """See `AsyncServer.certificate`."""
        return complete(self._server.certificate())

    def renew_certificate(self) -> CertificateStatus:
        """See `AsyncServer.renew_certificate`."""
        return complete(self._server.renew_certificate())

    def rotate_authority(self) -> CertificateStatus:
        """See `AsyncServer.rotate_authority`."""
        return complete(self._server.rotate_authority())

    def ready(self) -> Health:
        """See `AsyncServer.ready`."""
        return complete(self._server.ready())
