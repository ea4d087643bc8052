"""What waits between the socket and a slow reader."""

import asyncio

from cybercorp.client.inbox import MAX_LOG, MAX_SAMPLES, ConnectionState, Inbox, Update
from cybercorp.protocol.events import Event, Severity
from cybercorp.protocol.hosts import FleetCounts, HostsWindow
from cybercorp.protocol.live import EventsUpdate, HostsUpdate, MetricsCatalogueUpdate, MetricsUpdate, ProcessesUpdate
from cybercorp.protocol.processes import ProcessTable


def _window(subscription: int, at: int) -> HostsUpdate:
    window = HostsWindow(timestamp_ms=at, offset=0, counts=FleetCounts(), rows=[])
    return HostsUpdate(subscription=subscription, window=window)


def _samples(at: int, catalogue: str = "c") -> MetricsUpdate:
    return MetricsUpdate(subscription=2, host_id="h", catalogue=catalogue, timestamp_ms=at, values=b"")


def _events(id: int) -> EventsUpdate:
    event = Event(id=id, time_ms=0, kind="k", severity=Severity.INFO, message="")
    return EventsUpdate(subscription=3, epoch="e", events=[event])


async def _take(inbox: Inbox) -> list[Update | None]:
    return [await inbox.get() for _ in range(len(inbox))]


async def test_states_are_conflated() -> None:
    """A thousand windows and tables become the newest one of each subscription."""
    inbox = Inbox()
    for at in range(1000):
        inbox.put(_window(1, at))
        inbox.put(_window(7, at))
        inbox.put(ProcessesUpdate(subscription=4, host_id="h", table=ProcessTable(timestamp_ms=at, total=0)))
        inbox.put(ConnectionState(connected=bool(at % 2)))
    assert len(inbox) == 4
    assert (await _take(inbox))[0] == _window(1, 999)


async def test_samples_keep_their_newest_rows() -> None:
    """A chart misses nothing while the reader is busy for two minutes, and memory stays bounded after that."""
    inbox = Inbox()
    for at in range(MAX_SAMPLES * 3):
        inbox.put(_samples(at))
    rows = await _take(inbox)
    assert rows == [_samples(at) for at in range(MAX_SAMPLES * 2, MAX_SAMPLES * 3)]


async def test_samples_never_come_without_their_catalogue() -> None:
    """A new catalogue drops the rows of the old one that still wait."""
    inbox = Inbox()
    inbox.put(MetricsCatalogueUpdate(subscription=2, host_id="h", catalogue="old", series=()))
    inbox.put(_samples(1, "old"))
    inbox.put(MetricsCatalogueUpdate(subscription=2, host_id="h", catalogue="new", series=()))
    inbox.put(_samples(2, "new"))
    kinds = [(type(one), getattr(one, "catalogue", None)) for one in await _take(inbox)]
    assert kinds == [(MetricsCatalogueUpdate, "new"), (MetricsUpdate, "new")]


async def test_events_are_never_dropped_but_stop_the_reading() -> None:
    """With a thousand events waiting nobody reads the socket any more, until the reader has caught up."""
    inbox = Inbox()
    for number in range(MAX_LOG):
        inbox.put(_events(number))
    blocked = asyncio.create_task(inbox.room())
    await asyncio.wait({blocked}, timeout=0.01)
    assert not blocked.done()
    taken = [await inbox.get() for _ in range(MAX_LOG // 2 + 1)]
    await asyncio.wait_for(blocked, 1)
    assert taken == [_events(number) for number in range(MAX_LOG // 2 + 1)]


async def test_a_closed_subscription_leaves_nothing_behind() -> None:
    """After unsubscribing, nothing old is delivered; the others are untouched."""
    inbox = Inbox()
    for at in range(5):
        inbox.put(_samples(at))
        inbox.put(_window(1, at))
        inbox.put(_events(at))
    inbox.forget(2)
    inbox.forget(3)
    assert await _take(inbox) == [_window(1, 4)]


async def test_a_closed_inbox_ends_after_what_waits() -> None:
    """The reader gets the rest, then None."""
    inbox = Inbox()
    inbox.put(_window(1, 1))
    inbox.close()
    assert await inbox.get() == _window(1, 1)
    assert await inbox.get() is None
