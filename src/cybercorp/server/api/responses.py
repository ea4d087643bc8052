"""The problem answers that routes document: Litestar knows only what handlers return."""

from __future__ import annotations

from typing import Any

from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE, Problem


class TypedStream(Stream):
    """A stream whose own media type counts: the handler's documents the usual one of several."""

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> Any:
        options["media_type"] = self.media_type
        return super().to_asgi_response(app, request, **options)


_WHEN = {
    400: "The request is not valid; `code` and `hint` say how.",
    401: "No valid token was sent.",
    403: "This token may not do that.",
    404: "There is no such thing.",
    405: "This address does not take that method.",
    409: "It exists already, or another holds it.",
    413: "The body is too large.",
    429: "Too often; `Retry-After` says when to come again.",
    503: "Nothing can be stored now; try again later.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The documented problems of a route: 400, 401, 403 and these."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_WHEN[status],
            media_type=PROBLEM_MEDIA_TYPE,
            generate_examples=False,
        )
        for status in sorted({400, 401, 403, *statuses})
    }
