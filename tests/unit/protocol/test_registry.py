"""protocol.registry: every message, one envelope, two formats."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import CyberCorpError, MalformedMessageError, VersionMismatchError
from cybercorp.protocol.agents import Record, Records
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.registry import MESSAGES, TOPIC_PERMISSIONS, Codec, Direction, Format

FORMATS: list[Format] = ["msgpack", "json"]


@pytest.mark.parametrize("form", FORMATS)
def test_messages_survive_both_formats(form: Format) -> None:
    """What is encoded is decoded as the same typed payload."""
    codec = Codec(form)
    payload = Records(records=[Record(7, 1000, 1, "ab", b"\x00\xff" * 8)])
    message = codec.decode(codec.encode("agent.records", payload, id=3), Direction.AGENT_TO_SERVER)
    assert (message.kind, message.payload, message.id) == ("agent.records", payload, 3)


@pytest.mark.parametrize("form", FORMATS)
def test_a_payload_can_be_encoded_once_for_many_messages(form: Format) -> None:
    """A raw payload gives the same bytes as the typed one."""
    codec = Codec(form)
    payload = Subscribe(subscription=1, topic=Topic.HOSTS)
    assert codec.encode("live.subscribe", codec.encode_payload(payload)) == codec.encode("live.subscribe", payload)


def test_every_message_has_a_permission_and_every_topic_too() -> None:
    """Nothing can be sent or asked for that nobody decided about."""
    assert all(isinstance(one.permission, Permission) for one in MESSAGES.values())
    assert set(TOPIC_PERMISSIONS) == set(Topic)


def test_another_protocol_version_is_said() -> None:
    """A peer of another version gets told which one is spoken here."""
    data = msgspec.msgpack.encode({"v": 2, "kind": "live.subscribe", "payload": {}})
    with pytest.raises(VersionMismatchError, match="speaks protocol 2"):
        Codec().decode(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed_message"),
        (b"\xc1", "malformed_message"),
        (msgspec.msgpack.encode([1, 2]), "malformed_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "no.such", "payload": {}}), "unknown_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "agent.acknowledge", "payload": {"seq": 1}}), "unknown_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "agent.records", "payload": {"records": 5}}), "malformed_message"),
        (msgspec.msgpack.encode({"v": 1, "kind": "agent.records", "payload": None}), "malformed_message"),
    ],
)
def test_malformed_and_misdirected_messages_are_refused(data: bytes, code: str) -> None:
    """Garbage, unknown kinds, kinds of the other direction and wrong payloads have stable codes."""
    with pytest.raises(MalformedMessageError) as caught:
        Codec().decode(data, Direction.AGENT_TO_SERVER)
    assert caught.value.error_code == code
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_codec(data: bytes) -> None:
    """Any bytes are a message or an error of our tree."""
    for form in FORMATS:
        with contextlib.suppress(CyberCorpError):
            Codec(form).decode(data)


def test_deep_nesting_is_refused_not_overflowed() -> None:
    """A hundred thousand levels of JSON end in an error, not in a crash."""
    with pytest.raises(MalformedMessageError):
        Codec("json").decode(b'{"v":1,"kind":"agent.records","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
