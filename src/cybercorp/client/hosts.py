"""Hosts: list, find, label, rename, remove; their newest values; a window of the fleet."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence

from cybercorp.client.calls import Caller, Params, complete, segment
from cybercorp.protocol.hosts import Host, HostChange, HostSort, HostsWindow
from cybercorp.protocol.metrics import HostLatest

_PATH = "/api/v1/hosts"


class AsyncHosts:
    """The hosts of a server: `client.hosts`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(
        self,
        *selectors: str,
        labels: Mapping[str, str] | None = None,
        sort: HostSort | str = HostSort.NAME,
        descending: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> builtins.list[Host]:
        """The hosts that match any of the `selectors` (`web-*`, `env=prod cpu>80`; none: all) and have all `labels`.

            await client.hosts.list("web-*", labels={"env": "prod"}, sort="cpu", descending=True)

        Without a `limit` the server's own applies. Raises InvalidInputError for a selector that cannot be read.
        """
        wanted = [("selector", text) for text in _selectors(selectors, labels)]
        params: Params = [
            *wanted,
            ("sort", str(sort)),
            ("descending", descending),
            ("offset", offset),
            ("limit", limit),
        ]
        return await self._caller.call("GET", _PATH, builtins.list[Host], params=params)

    async def get(self, host: str) -> Host:
        """One host by its name or id. Raises NotFoundError (`host_not_found`) with the nearest name as a hint."""
        return await self._caller.call("GET", _path(host), Host)

    async def label(self, host: str, labels: Mapping[str, str | None]) -> Host:
        """Set labels; None removes one: `await client.hosts.label("web-1", {"env": "prod", "old": None})`."""
        return await self._caller.call("PATCH", _path(host), Host, body=HostChange(labels=dict(labels)))

    async def rename(self, host: str, name: str) -> Host:
        """Give a host another name. Raises ConflictError (`host_name_taken`)."""
        return await self._caller.call("PATCH", _path(host), Host, body=HostChange(name=name))

    async def remove(self, host: str) -> None:
        """Forget a host, its token and its history. It joins again only with a new enrolment."""
        await self._caller.call("DELETE", _path(host), type(None))

    async def approve(self, host: str) -> Host:
        """Let a host send that waits for it, or was locked. Raises ConflictError (`not_approvable`)."""
        return await self._caller.call("POST", f"{_path(host)}/approve", Host)

    async def retire(self, host: str) -> Host:
        """Its agent never returns; its history stays."""
        return await self._caller.call("POST", f"{_path(host)}/retire", Host)

    async def latest(self, host: str, at_ms: int | None = None) -> HostLatest:
        """The newest value of every series of one host, or those of the instant `at_ms`."""
        return await self._caller.call("GET", f"{_path(host)}/latest", HostLatest, params=[("at_ms", at_ms)])

    async def window(
        self,
        selector: str | None = None,
        *,
        sort: HostSort | str = HostSort.NAME,
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
        pinned: str | None = None,
        at_ms: int | None = None,
    ) -> HostsWindow:
        """Rows `offset … offset+limit` of the sorted fleet with its counts, now or at the instant `at_ms`.

        `pinned` is the id of a host whose row and rank come along although it lies outside.
        """
        params: Params = [
            ("selector", selector),
            ("sort", str(sort)),
            ("descending", descending),
            ("offset", offset),
            ("limit", limit),
            ("pinned", pinned),
            ("at_ms", at_ms),
        ]
        return await self._caller.call("GET", "/api/v1/fleet", HostsWindow, params=params)


class Hosts:
    """`AsyncHosts` without await."""

    def __init__(self, hosts: AsyncHosts) -> None:
        self._hosts = hosts

    def list(
        self,
        *selectors: str,
        labels: Mapping[str, str] | None = None,
        sort: HostSort | str = HostSort.NAME,
        descending: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> builtins.list[Host]:
        """See `AsyncHosts.list`: `fleet.hosts.list("web-*", labels={"env": "prod"})`."""
        return complete(
            self._hosts.list(*selectors, labels=labels, sort=sort, descending=descending, offset=offset, limit=limit)
        )

    def get(self, host: str) -> Host:
        """See `AsyncHosts.get`."""
        return complete(self._hosts.get(host))

    def label(self, host: str, labels: Mapping[str, str | None]) -> Host:
        """See `AsyncHosts.label`."""
        return complete(self._hosts.label(host, labels))

    def rename(self, host: str, name: str) -> Host:
        """See `AsyncHosts.rename`."""
        return complete(self._hosts.rename(host, name))

    def remove(self, host: str) -> None:
        """See `AsyncHosts.remove`."""
        complete(self._hosts.remove(host))

    def approve(self, host: str) -> Host:
        """See `AsyncHosts.approve`."""
        return complete(self._hosts.approve(host))

    def retire(self, host: str) -> Host:
        """See `AsyncHosts.retire`."""
        return complete(self._hosts.retire(host))

    def latest(self, host: str, at_ms: int | None = None) -> HostLatest:
        """See `AsyncHosts.latest`."""
        return complete(self._hosts.latest(host, at_ms))

    def window(
        self,
        selector: str | None = None,
        *,
        sort: HostSort | str = HostSort.NAME,
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
        pinned: str | None = None,
        at_ms: int | None = None,
    ) -> HostsWindow:
        """See `AsyncHosts.window`."""
        return complete(
            self._hosts.window(
                selector, sort=sort, descending=descending, offset=offset, limit=limit, pinned=pinned, at_ms=at_ms
            )
        )


def _path(host: str) -> str:
    return f"{_PATH}/{segment(host)}"


def _selectors(selectors: Sequence[str], labels: Mapping[str, str] | None) -> list[str]:
    # A selector's words are parted by blanks; `?` stands for the blank inside a label's value.
    words = " ".join(f"{key}={'?'.join(value.split(' '))}" for key, value in (labels or {}).items())
    if not words:
        return list(selectors)
    return [f"{text} {words}" for text in selectors or ("*",)]
