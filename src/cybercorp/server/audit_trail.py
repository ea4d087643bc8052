"""Between the gate and the application: what is refused is written down, what changes something is before and after.

A handler that changes something declares `opt={"audit": "noun.verb"}`; the guard writes its intent once it is allowed,
this layer its outcome. A handler whose service audits by itself declares `opt={"audit": BY_ITSELF}`.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cybercorp.core.errors import InternalError
from cybercorp.protocol.audit import AuditRecord
from cybercorp.protocol.permissions import Permission
from cybercorp.server.networks import network_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.refusals import Refusal
from cybercorp.server.wiring import Services

BY_ITSELF: Final = "by itself"
_REFUSED: Final = "cybercorp.refused"
_INTENT: Final = "cybercorp.intent"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSALS = frozenset({401, 403, 429})


class AuditTrail:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = str(scope["type"])
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        audit, extra = self._services.audit, _extra(scope)

        async def answer(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = int(message["status"])
                if status in _REFUSALS and _REFUSED in extra and not (status != 429 and _audits_itself(extra)):
                    await self._services.refusals.note(_refusal(scope, kind))
                await _settle(audit, extra, f"status {status}" if status >= 400 else "")
            elif message["type"] == "websocket.close" and _REFUSED in extra:
                await self._services.refusals.note(_refusal(scope, kind))
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            await _settle(audit, extra, "no_answer")


def mark_refused(scope: Scope, code: str) -> None:
    """Whoever answers with a refusal says here which one it is."""
    _extra(scope)[_REFUSED] = code


async def intend_change(services: Services, scope: Scope, handler: BaseRouteHandler, actor: Principal) -> None:
    """Write the intent of a request that is allowed, where its handler changes something. Raises StorageError."""
    operation = handler.opt.get("audit")
    if operation is None or operation == BY_ITSELF or services.recorded:
        return
    target = ",".join(str(value) for value in scope.get("path_params", {}).values())
    noun = str(operation).partition(".")[0]
    _extra(scope)[_INTENT] = await services.audit.begin(str(operation), actor=actor, target_kind=noun, target=target)


def check_audit(app: Litestar) -> None:
    """Raises InternalError where a handler that may change something does not say how it is audited."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if getattr(handler, "http_methods", _SAFE) - _SAFE and not handler.opt.get("audit"):
                raise InternalError(f"A change by {route.path} is not audited.", hint="This is a bug of ours.")


async def _settle(audit: AuditService, extra: dict[str, Any], error: str) -> None:
    intent: AuditRecord | None = extra.pop(_INTENT, None)
    if intent is not None:
        await audit.settle(intent, error)


def _audits_itself(extra: dict[str, Any]) -> bool:
    """Whether who is refused here was told of already: a log-in that failed is a record of its own."""
    opt = getattr(extra.get("route_handler"), "opt", {})
    return opt.get("audit") == BY_ITSELF and not isinstance(opt.get("permission"), Permission)


def _refusal(scope: Scope, kind: str) -> Refusal:
    extra = _extra(scope)
    actor = extra.get("user")
    method = str(extra.get("method", "")) or "CONNECT"
    client = scope.get("client")
    return Refusal(
        operation="request.refuse" if kind == "http" else "socket.refuse",
        actor=actor if isinstance(actor, Principal) else None,
        network=(actor.network if isinstance(actor, Principal) else "") or (network_key(client[0]) if client else ""),
        target=f"{method} {extra.get('path_template') or 'another address'}",
        code=str(extra[_REFUSED]),
    )


def _extra(scope: Scope) -> dict[str, Any]:
    return scope  # type: ignore[return-value]
