"""CyberCorp: see, replay and steer a whole fleet from your terminal, and from Python.

    from cybercorp import Client

    with Client() as fleet:
        for host in fleet.hosts.list():
            print(host.name, host.latest["cpu"])

The names below load on first use, so that `import cybercorp` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cybercorp.core.version import __version__

if TYPE_CHECKING:
    from cybercorp.client.asynchronous import AsyncClient
    from cybercorp.client.live import ConnectionState, LiveConnection
    from cybercorp.client.results import QueryResult
    from cybercorp.client.synchronous import Client
    from cybercorp.core.errors import CyberCorpError

__all__ = [
    "AsyncClient",
    "Client",
    "ConnectionState",
    "CyberCorpError",
    "LiveConnection",
    "QueryResult",
    "__version__",
]

_HOMES = {
    "AsyncClient": "cybercorp.client.asynchronous",
    "Client": "cybercorp.client.synchronous",
    "ConnectionState": "cybercorp.client.live",
    "CyberCorpError": "cybercorp.core.errors",
    "LiveConnection": "cybercorp.client.live",
    "QueryResult": "cybercorp.client.results",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'cybercorp' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
