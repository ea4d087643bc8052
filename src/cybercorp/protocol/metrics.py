"""Metrics on the wire: series, catalogue, queries and their answers.

Names and attributes follow the OpenTelemetry semantic conventions (system metrics), units are UCUM. A *series*
is a metric name with attributes; a host's *catalogue* is the ordered list of its series, and a sample row is one
float64 for each of them in that order. Labels never travel with samples.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from cybercorp.core.errors import InvalidInputError, LimitExceededError

MAX_SERIES = 20_000
MAX_NAME_LENGTH = 255
MAX_ATTRIBUTE_LENGTH = 1024
MAX_ATTRIBUTES = 16


class MetricKind(StrEnum):
    """How a series behaves: a `gauge` is a reading, a `counter` only grows until it is reset."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Series(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One series of a catalogue. `unit` is UCUM (`By`, `s`, `1`, `Cel`, `{thread}`)."""

    name: str
    unit: str = "1"
    kind: MetricKind = MetricKind.GAUGE
    attributes: dict[str, str] = {}

    @property
    def key(self) -> str:
        """The canonical spelling: `system.disk.io{device="sda",direction="read"}`."""
        return series_key(self.name, self.attributes)


def series_key(name: str, attributes: dict[str, str]) -> str:
    """`name{a="x",b="y"}` with sorted attributes; the bare name where there are none."""
    if not attributes:
        return name
    inner = ",".join(f'{k}="{_escape(v)}"' for k, v in sorted(attributes.items()))
    return f"{name}{{{inner}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """The ordered series of one host. Its `id` is derived from its content: the same series, the same id."""

    id: str
    series: tuple[Series, ...]


def make_catalogue(series: Iterable[Series]) -> Catalogue:
    """A catalogue with its content id (16 hexadecimal digits of BLAKE2b over the MessagePack form)."""
    ordered = tuple(series)
    digest = hashlib.blake2b(msgspec.msgpack.encode(ordered), digest_size=8).hexdigest()
    return Catalogue(id=digest, series=ordered)


def check_catalogue(catalogue: Catalogue) -> None:
    """Refuse what a hostile or broken agent could announce. Raises InvalidInputError or LimitExceededError."""
    if len(catalogue.series) > MAX_SERIES:
        raise LimitExceededError(
            f"The catalogue has {len(catalogue.series)} series; {MAX_SERIES} are the most a host may have.",
            hint="Narrow the agent's monitors.",
        )
    if make_catalogue(catalogue.series).id != catalogue.id:
        raise InvalidInputError("The catalogue's id does not match its content.", hint="Update the agent.")
    seen: set[str] = set()
    for one in catalogue.series:
        long_attribute = any(
            len(k) > MAX_NAME_LENGTH or len(v) > MAX_ATTRIBUTE_LENGTH for k, v in one.attributes.items()
        )
        if not one.name or len(one.name) > MAX_NAME_LENGTH or len(one.attributes) > MAX_ATTRIBUTES or long_attribute:
            raise LimitExceededError("A series has an empty or over-long name or attribute.", hint="Update the agent.")
        if one.key in seen:
            raise InvalidInputError("The catalogue names a series twice.", hint="Update the agent.")
        seen.add(one.key)


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A short name for people: which series it means and how it is usually asked for."""

    selector: str
    description: str
    rate: bool = False


ALIASES: dict[str, Alias] = {
    "cpu": Alias(selector='system.cpu.utilization{cpu=""}', description="CPU in use, all cores together"),
    "cores": Alias(selector='system.cpu.utilization{cpu="?*"}', description="CPU in use, each core"),
    "mem": Alias(selector='system.memory.utilization{state="used"}', description="memory in use"),
    "swap": Alias(selector='system.paging.utilization{state="used"}', description="swap in use"),
    "disk": Alias(selector="system.filesystem.utilization", description="filesystem space in use"),
    "io": Alias(selector="system.disk.io", description="disk bytes read and written", rate=True),
    "net": Alias(selector="system.network.io", description="network bytes received and sent", rate=True),
    "load": Alias(selector="system.cpu.load_average.1m", description="load average over one minute"),
    "temp": Alias(selector="hw.temperature", description="temperatures"),
    "psi": Alias(selector="system.pressure.utilization", description="time lost waiting (PSI)"),
}

_SELECTOR = re.compile(r"^\s*([A-Za-z_*][\w.:*?-]*)\s*(?:\{(.*)\})?\s*$", re.DOTALL)
_MATCHER = re.compile(r'\s*([A-Za-z_][\w.]*)\s*(!?=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')


class Matcher(msgspec.Struct, frozen=True, kw_only=True):
    """One condition on an attribute: a glob, or its negation. An absent attribute reads as the empty string."""

    attribute: str
    glob: str
    negated: bool = False

    def matches(self, attributes: dict[str, str]) -> bool:
        return fnmatch.fnmatchcase(attributes.get(self.attribute, ""), self.glob) is not self.negated


class MetricSelector(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed selector: metric name (globs allowed) and matchers."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    rate: bool = False

    def matches(self, series: Series) -> bool:
        named = series.name == self.name or ("*" in self.name and fnmatch.fnmatchcase(series.name, self.name))
        return named and all(one.matches(series.attributes) for one in self.matchers)


def parse_metric_selector(text: str) -> MetricSelector:
    """Read an alias (`cpu`) or a selector in PromQL's shape: `system.disk.io{device="sd*",direction!="read"}`.

    Values are globs, not regular expressions, so that no selector can hang the server.
    Raises InvalidInputError.
    """
    alias = ALIASES.get(text.strip())
    found = _SELECTOR.match(alias.selector if alias else text)
    if not found or len(text) > 2000:
        raise InvalidInputError(
            f"'{text[:80]}' is not a metric.",
            hint='Write an alias (cpu, mem, disk, net, load) or a name like system.disk.io{device="sda"}.',
        )
    matchers = []
    inner, position = found.group(2) or "", 0
    while position < len(inner.rstrip()):
        one = _MATCHER.match(inner, position)
        if not one:
            raise InvalidInputError(
                f"The part '{inner[position : position + 40]}' of the metric selector cannot be read.",
                hint='Write {attribute="value"}; * and ? match anything, != excludes.',
            )
        value = re.sub(r"\\(.)", r"\1", one.group(3))
        matchers.append(Matcher(attribute=one.group(1), glob=value, negated=one.group(2) == "!="))
        position = one.end()
    return MetricSelector(name=found.group(1), matchers=tuple(matchers), rate=bool(alias and alias.rate))


class Aggregation(StrEnum):
    """How the samples of one step become one number.

    `rate` and `increase` are for counters: growth per second and growth, resets repaired.
    """

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    LAST = "last"
    COUNT = "count"
    RATE = "rate"
    INCREASE = "increase"
    QUANTILE = "quantile"


class Grouping(StrEnum):
    """How the series of one group become one, point by point; unknown values are left out."""

    AVG = "avg"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    QUANTILE = "quantile"


class Ranking(StrEnum):
    """The number of a series over the whole range that `topk` and `bottomk` compare."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    LAST = "last"


class Downsample(StrEnum):
    """How a curve is thinned out for a chart; `minmaxlttb` keeps real samples, the peaks among them."""

    MINMAXLTTB = "minmaxlttb"


class GroupKey(msgspec.Struct, frozen=True, kw_only=True):
    """What the series of one group have in common: their `host`, an `attribute`, or a `label` of their hosts."""

    kind: str
    name: str = ""


def parse_group_key(text: str) -> GroupKey:
    """`host`, `label:env`, or an attribute: `cpu`, `device` (`attribute:host` where it has a name of ours).

    Raises InvalidInputError.
    """
    kind, colon, name = text.strip().partition(":")
    if not colon:
        kind, name = ("host", "") if kind == "host" else ("attribute", kind)
    if (kind == "host" and not colon) or (kind in ("label", "attribute") and 0 < len(name) <= MAX_NAME_LENGTH):
        return GroupKey(kind=kind, name=name)
    raise InvalidInputError(
        f"'{text[:80]}' is nothing to group by.",
        hint="Group by host, by an attribute of the metric (cpu, device), or by a label of the hosts (label:env).",
    )


class MetricDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the metric catalogue: a metric of at least one host."""

    name: str
    unit: str
    kind: MetricKind
    description: str = ""
    alias: str | None = None
    hosts: int = 0
    series: int = 0
    attributes: dict[str, list[str]] = {}


class SeriesPoints(msgspec.Struct, frozen=True, kw_only=True):
    """One series of an answer: a value for each step, null where nothing is known.

    Of a group `members` series were made one; `host`, `attributes` and `labels` (of hosts) hold only what it was
    grouped by. Where the answer was downsampled, `values[i]` is that of `times_ms[i]`, and null breaks the curve.
    """

    host: str
    host_id: str
    name: str
    attributes: dict[str, str]
    unit: str
    kind: MetricKind
    values: list[float | None]
    labels: dict[str, str] = {}
    members: int = 1
    times_ms: list[int] | None = None

    @property
    def key(self) -> str:
        """Its canonical spelling; labels it was grouped by stand there as `label:env="prod"`."""
        if not self.labels:
            return series_key(self.name, self.attributes)
        return series_key(
            self.name, {**self.attributes, **{f"label:{name}": value for name, value in self.labels.items()}}
        )


class QueryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A range query's answer. Point i covers `[start_ms + i*step_ms, start_ms + (i+1)*step_ms)`.

    `unit` of a series is already that of the aggregation: a rate of `By` is `By/s`. `tier` is what was read: every
    sample (`raw`) or their exact summaries (`1m`, `1h`). `found` counts the series before `topk` or `bottomk`.
    """

    start_ms: int
    step_ms: int
    points: int
    aggregation: str
    series: list[SeriesPoints]
    tier: str = "raw"
    found: int | None = None


class LatestValue(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sample of one series; `timestamp_ms` by the host's clock."""

    name: str
    attributes: dict[str, str]
    unit: str
    kind: MetricKind
    value: float | None
    timestamp_ms: int


class HostLatest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sample of every series of one host."""

    host: str
    host_id: str
    timestamp_ms: int
    values: list[LatestValue]
