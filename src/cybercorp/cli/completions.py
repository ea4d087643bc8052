"""Words for the shell's completion that only a server knows. A server that is slow or away gives none."""

from __future__ import annotations

from cybercorp.cli.options import Options
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.metrics import ALIASES
from cybercorp.security.display import safe_text

_PATIENCE_S = 1.0
_MOST = 200


def complete_hosts(incomplete: str) -> list[str]:
    """Names of hosts that begin so."""
    try:
        with Options().client(timeout_s=_PATIENCE_S) as client:
            names = [host.name for host in client.hosts.list(limit=_MOST)]
    except CyberCorpError:
        return []
    return [name for name in names if name.startswith(incomplete) and safe_text(name) == name]


def complete_metrics(incomplete: str) -> list[str]:
    """Short names, and names of metrics that begin so."""
    names = list(ALIASES)
    try:
        with Options().client(timeout_s=_PATIENCE_S) as client:
            names += [metric.name for metric in client.metrics.list()]
    except CyberCorpError:
        pass
    return [name for name in names if name.startswith(incomplete) and safe_text(name) == name]
