"""The pages for browsers: files of the folder `server/pages`, which load nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Controller, Response, get

from cybercorp.server.api.guards import ANONYMOUS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_OPTIONS: dict[str, Any] = {"permission": ANONYMOUS}


class PageController(Controller):
    """Not part of the OpenAPI document. What a page shows it asks for by REST, with what its address tells it."""

    path = "/"
    include_in_schema = False

    @get("/passkey", opt=_OPTIONS, media_type="text/html")
    async def passkey(self) -> Response[bytes]:
        """Where a passkey is used."""
        return _page("passkey.html", "text/html; charset=utf-8")

    @get("/passkey.js", opt=_OPTIONS, media_type="text/javascript")
    async def passkey_script(self) -> Response[bytes]:
        """Its script."""
        return _page("passkey.js", "text/javascript; charset=utf-8")

    @get("/passkey.css", opt=_OPTIONS, media_type="text/css")
    async def passkey_style(self) -> Response[bytes]:
        """Its style."""
        return _page("passkey.css", "text/css; charset=utf-8")


def _page(name: str, media_type: str) -> Response[bytes]:
    return Response(_read(name), media_type=media_type, headers={"Content-Security-Policy": POLICY})


@cache
def _read(name: str) -> bytes:
    return files("cybercorp.server").joinpath("pages", name).read_bytes()
