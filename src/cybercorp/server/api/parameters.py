"""Query parameters that several routes share, and the refusal of those that a route does not have."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from litestar import Request
from litestar.params import QueryParameter

from cybercorp.core.errors import InvalidInputError

Selectors = Annotated[
    list[str] | None,
    QueryParameter(
        name="selector",
        description="Hosts: a name, a glob (`web-*`), a label (`env=prod`), a state (`state=offline`) or a comparison "
        "(`cpu>80`). Words in one selector must all hold; of several selectors one must match.",
    ),
]
AtMs = Annotated[
    int | None,
    QueryParameter(ge=0, le=253_402_300_800_000, description="An instant in Unix milliseconds; absent: now."),
]


async def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Raises InvalidInputError naming a query parameter that the route does not have, and the nearest that it has."""
    if not request.query_params:
        return
    known = _known(request)
    for name in request.query_params:
        if name not in known:
            close = difflib.get_close_matches(name[:80], known, n=1, cutoff=0.5)
            hint = f"Did you mean '{close[0]}'?" if close else f"It takes: {', '.join(sorted(known)) or 'none'}."
            raise InvalidInputError(f"This address has no query parameter '{name[:80]}'.", hint=hint)


def _known(request: Request[Any, Any, Any]) -> frozenset[str]:
    """What the OpenAPI document says of this route; read once for all routes."""
    cache: dict[str, frozenset[str]] = request.app.state.setdefault("query_parameters", {})
    if not cache:
        for path, item in (request.app.openapi_schema.paths or {}).items():
            names = {
                str(getattr(one, "name", ""))
                for operation in (item.get, item.post, item.patch, item.delete)
                for one in (operation.parameters if operation and operation.parameters else ())
                if getattr(one, "param_in", "") == "query"
            }
            cache[path] = frozenset(names)
    template = str(request.scope.get("path_template", ""))
    return cache.get(template, frozenset())
