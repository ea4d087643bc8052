"""Which series selectors mean, by catalogue: looked up once for all hosts with the same; and why nothing matches."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from cybercorp.core.errors import NotFoundError
from cybercorp.protocol.metrics import ALIASES, Catalogue, MetricKind, MetricSelector
from cybercorp.server.services.fleet import LiveHost

MAX_KNOWN = 20_000


class Matched(NamedTuple):
    """How many series of a catalogue a selector means, and of which kinds."""

    series: int
    kinds: frozenset[MetricKind]


_NOTHING = Matched(0, frozenset())


class SeriesMatcher:
    """Remembers what it found: catalogues are many and long, and the same few questions are asked again and again."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, MetricSelector], Matched] = {}

    def match(self, host: LiveHost, selector: MetricSelector) -> Matched:
        """What the selector means in the host's newest catalogue."""
        catalogue = host.catalogue
        if catalogue is None:
            return _NOTHING
        key = (catalogue.id, selector)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = self._known[key] = _match(catalogue, selector)
        return found

    def count(self, hosts: Sequence[LiveHost], selectors: Sequence[MetricSelector]) -> int:
        """About how many series a query means: those that the hosts have now."""
        owners: dict[str, list[LiveHost]] = {}
        for host in hosts:
            if host.catalogue is not None:
                owners.setdefault(host.catalogue.id, []).append(host)
        return sum(len(same) * self.match(same[0], one).series for same in owners.values() for one in selectors)

    def kinds(self, hosts: Sequence[LiveHost], selector: MetricSelector) -> frozenset[MetricKind]:
        """The kinds of the series that are meant."""
        return frozenset().union(*{self.match(host, selector).kinds for host in hosts})


def _match(catalogue: Catalogue, selector: MetricSelector) -> Matched:
    series = [one for one in catalogue.series if selector.matches(one)]
    return Matched(len(series), frozenset(one.kind for one in series)) if series else _NOTHING


def explain_nothing(text: str, selector: MetricSelector, hosts: Sequence[LiveHost]) -> None:
    """Nothing in the range is no error where the metric exists; an unknown metric is.

    Raises NotFoundError (`metric_not_found`).
    """
    names = {one.name for host in hosts if host.catalogue for one in host.catalogue.series}
    if not names:
        return
    if selector.name in names or "*" in selector.name:
        raise NotFoundError(
            f"No series of these hosts matches {text[:200]}.",
            hint="Check its attributes with: cybercorp metrics list.",
            code="metric_not_found",
        )
    close = difflib.get_close_matches(selector.name, [*names, *ALIASES], n=1, cutoff=0.5)
    raise NotFoundError(
        f"These hosts have no metric '{text[:200]}'.",
        hint=f"Did you mean '{close[0]}'?" if close else "List them with: cybercorp metrics list.",
        code="metric_not_found",
    )
