"""The conversation of an agent, without a socket."""

import msgspec
import pytest

from cybercorp.client.agent_session import MAX_IN_FLIGHT, AgentSession
from cybercorp.core.errors import ConflictError, MalformedMessageError, VersionMismatchError
from cybercorp.protocol.agents import (
    Acknowledge,
    AnnounceCatalogue,
    Record,
    Records,
    RecordType,
    Refuse,
    Watch,
    Welcome,
)
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import Codec

CODEC = Codec()
CATALOGUE = make_catalogue([Series(name="a")])


def _find(id: str) -> bytes | None:
    known = AnnounceCatalogue(id=CATALOGUE.id, series=CATALOGUE.series)
    return msgspec.msgpack.encode(known) if id == CATALOGUE.id else None


def _lost(record: Record) -> Record:
    return Record(record.seq, record.timestamp_ms, RecordType.EVENT, "", b"lost")


def _session(acked: int = 0) -> AgentSession:
    session = AgentSession(_find, _lost)
    _hear(session, "agent.welcome", Welcome(host_id="h", name="n", acked_seq=acked, clock_ms=0, version="1"))
    return session


def _hear(session: AgentSession, kind: str, payload: object) -> None:
    session.receive(CODEC.encode(kind, payload))


def _may_send(session: AgentSession) -> bool:
    return session.may_send


def _row(seq: int, catalogue: str = CATALOGUE.id) -> Record:
    return Record(seq, 0, RecordType.SAMPLES, catalogue, b"12345678")


def _payloads(messages: list[bytes]) -> list[object]:
    return [CODEC.decode(one).payload for one in messages]


def test_nothing_is_sent_before_the_welcome() -> None:
    """The server says first how much of the stream it has."""
    session = AgentSession(_find, _lost)
    assert _may_send(session) is False
    _hear(session, "agent.welcome", Welcome(host_id="h", name="n", acked_seq=41, clock_ms=0, version="1"))
    assert _may_send(session)
    assert (session.sent_seq, session.acked_seq) == (41, 41)


def test_a_catalogue_goes_before_its_first_samples_and_only_once() -> None:
    """Labels never travel twice on one connection."""
    session = _session()
    first = _payloads(session.records([_row(1), _row(2)]))
    assert [type(one) for one in first] == [AnnounceCatalogue, Records]
    assert [type(one) for one in _payloads(session.records([_row(3)]))] == [Records]


def test_the_window_closes_and_opens() -> None:
    """Only a few messages are on their way at once; each acknowledgement makes room."""
    session = _session()
    for seq in range(1, MAX_IN_FLIGHT + 1):
        assert _may_send(session)
        session.records([_row(seq)])
    assert _may_send(session) is False
    _hear(session, "agent.acknowledge", Acknowledge(seq=2))
    assert _may_send(session)
    assert session.acked_seq == 2


def test_an_acknowledgement_of_what_was_never_sent_is_cut() -> None:
    """A confused server cannot make the agent throw away what it has not sent."""
    session = _session()
    session.records([_row(1)])
    _hear(session, "agent.acknowledge", Acknowledge(seq=1_000_000))
    assert session.acked_seq == 1
    _hear(session, "agent.acknowledge", Acknowledge(seq=0))
    assert session.acked_seq == 1


def test_what_was_refused_is_sent_again() -> None:
    """Everything that is not acknowledged is still to be sent."""
    session = _session()
    session.records([_row(1), _row(2)])
    session.records([_row(3)])
    _hear(session, "agent.acknowledge", Acknowledge(seq=2))
    _hear(session, "agent.refuse", Refuse(seq=2, retry_after_s=1, code="storage_full", detail="full"))
    assert session.sent_seq == 2
    assert _may_send(session)


def test_an_unknown_catalogue_is_announced_again() -> None:
    """A server that lost the catalogue gets it before the rows come again."""
    session = _session()
    session.records([_row(1)])
    told = Problem(type="urn:x", title="t", status=409, code="unknown_catalogue", detail="?")
    _hear(session, "problem", told)
    assert session.sent_seq == 0
    assert [type(one) for one in _payloads(session.records([_row(1)]))] == [AnnounceCatalogue, Records]


def test_samples_without_a_catalogue_are_reported_as_lost() -> None:
    """Numbers stay whole even where a row can be read by nobody."""
    session = _session()
    (sent,) = _payloads(session.records([_row(1, "gone"), Record(2, 0, RecordType.EVENT, "", b"e")]))
    assert isinstance(sent, Records)
    assert [(one.seq, one.body) for one in sent.records] == [(1, b"lost"), (2, b"e")]


def test_a_watch_is_remembered() -> None:
    """What somebody looks at right now."""
    session = _session()
    _hear(session, "agent.watch", Watch(processes_interval_ms=1000))
    assert session.watch.processes_interval_ms == 1000


def test_a_problem_is_raised_as_its_error() -> None:
    """Two agents of one name: the later one is told."""
    told = Problem(type="urn:x", title="t", status=409, code="agent_already_connected", detail="Another.")
    with pytest.raises(ConflictError) as caught:
        _hear(_session(), "problem", told)
    assert caught.value.error_code == "agent_already_connected"


def test_what_is_no_message_is_refused() -> None:
    """Garbage, a message for viewers, another protocol version."""
    session = _session()
    with pytest.raises(MalformedMessageError):
        session.receive(b"\xc1")
    with pytest.raises(MalformedMessageError):
        session.receive(CODEC.encode("agent.records", Records(records=[])))
    with pytest.raises(VersionMismatchError):
        session.receive(msgspec.msgpack.encode({"v": 2, "id": 0, "kind": "agent.watch", "payload": {}}))
