"""The OpenAPI document and its readable page; a browser shows the token as the password of HTTP Basic."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get

from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.reference import POLICY, render_reference

_OPTIONS: dict[str, Any] = {"permission": Permission.SERVER_VIEW, "browser": True}


class DocumentController(Controller):
    """Not part of the document that it shows."""

    path = "/api"
    include_in_schema = False

    @get("/openapi.json", opt=_OPTIONS, media_type="application/vnd.oai.openapi+json")
    async def document(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        return request.app.openapi_schema.to_schema()

    @get("/docs", opt=_OPTIONS, media_type="text/html")
    async def page(self, request: Request[Any, Any, Any]) -> Response[str]:
        """The reference."""
        page = render_reference(request.app.openapi_schema.to_schema())
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})
