"""Answers in MessagePack for those who ask for it, in JSON for everybody else."""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.enums import MediaType

_MSGPACK = "application/x-msgpack"


class NegotiatedResponse(Response[Any]):
    """Chooses the media type when the answer is rendered, by the request's Accept header."""

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> Any:
        if self.content is not None and _MSGPACK in request.headers.get("accept", ""):
            options["media_type"] = _MSGPACK
            self.media_type = MediaType.MESSAGEPACK
        return super().to_asgi_response(app, request, **options)
