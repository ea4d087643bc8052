"""From what a person wrote to the hosts that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cybercorp.core.errors import InvalidInputError, NotFoundError
from cybercorp.protocol.hosts import Host, HostSort
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

PAGE = 500
_PATTERN_SIGNS = frozenset("*?[=<>! ")


def is_name(selector: str) -> bool:
    """True where a selector can only mean one host: no glob, label, comparison or blank in it."""
    return not _PATTERN_SIGNS.intersection(selector)


def pick_hosts(client: Client, selectors: Sequence[str], *, every: bool = False) -> list[Host]:
    """The hosts that match any of the selectors, by name.

    A plain name that no host has is an error with the nearest name; so is a selection without a host. Raises
    InvalidInputError where nothing was selected, or `--all` came with selectors; NotFoundError.
    """
    if every and selectors:
        raise InvalidInputError("--all and names of hosts exclude each other.", hint="Give one of them.")
    if not every and not selectors:
        raise InvalidInputError("No host was named.", hint="Name one, a glob (web-*), a label (env=prod), or --all.")
    for selector in selectors:
        parse_host_selector(selector)
    found: dict[str, Host] = {}
    for selector in [one for one in selectors if is_name(one)]:
        host = client.hosts.get(selector)
        found[host.id] = host
    patterns = [one for one in selectors if not is_name(one)]
    if every or patterns:
        found.update({host.id: host for host in list_all(client, patterns)})
    if not found:
        raise nothing_matches(selectors)
    return sorted(found.values(), key=lambda host: host.name)


def list_all(
    client: Client,
    selectors: Sequence[str] = (),
    *,
    sort: HostSort = HostSort.NAME,
    descending: bool = False,
    limit: int | None = None,
) -> list[Host]:
    """The hosts of a selection, page by page, so that a fleet of any size is listed to its end (or to `limit`)."""
    found: dict[str, Host] = {}
    offset = 0
    while True:
        wanted = PAGE if limit is None else min(PAGE, limit - offset)
        page = client.hosts.list(*selectors, sort=sort, descending=descending, offset=offset, limit=wanted)
        # The order may change between two pages; a host is listed once all the same.
        found.update({host.id: host for host in page})
        offset += len(page)
        if len(page) < wanted or (limit is not None and offset >= limit):
            return list(found.values())


def nothing_matches(selectors: Sequence[str]) -> NotFoundError:
    """The error that says which selection is empty."""
    if not selectors:
        return NotFoundError("There is no host yet.", hint="Add this machine: cybercorp up. Another: cybercorp enroll.")
    written = ", ".join(safe_text(one, 60) for one in selectors[:5])
    return NotFoundError(f"No host matches {written}.", hint="List them with: cybercorp hosts", code="host_not_found")
