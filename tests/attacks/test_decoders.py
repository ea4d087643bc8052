"""Every decoder that reads bytes from a network or from somebody's file: an error of ours, or a value; nothing else.

The bytes are random, valid ones with a part changed, and the well-known traps: deep nesting, huge lengths, invalid
UTF-8, numbers without bounds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.client.calls import read_answer, read_problem
from cybercorp.core.errors import CyberCorpError, MalformedMessageError
from cybercorp.protocol.agents import AnnounceCatalogue, Hello, Proof, Record, Records
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.exports import ExportEnd, ExportHead, ExportReader, pack_frame
from cybercorp.protocol.hosts import Host
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.metrics import Series
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.recordings import FrameReader, FrameWriter
from cybercorp.protocol.recordings import Manifest as RecordedManifest
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.roles import parse_scope
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.protocol.servers import PROTOCOL_HEADER, PROTOCOL_VERSION
from cybercorp.protocol.users import check_user_name
from cybercorp.security.certificates import check_names, check_pin, make_authority, pin_of, split_pem, trusting
from cybercorp.security.key_sources import parse_key
from cybercorp.security.tokens import token_kind
from cybercorp.security.vault import Vault, key_number, new_key, unwrap_key, wrap_key
from cybercorp.server.bearer import basic_password, bearer_token
from cybercorp.server.networks import forwarded_for, network_key, parse_networks
from cybercorp.server.services.authenticators import (
    Site,
    assertion_options,
    check_assertion,
    check_registration,
    claimed_user,
    registration_options,
    site_of,
)
from cybercorp.server.websocket.agent_proof import agent_key_host
from tests.authenticator import Authenticator

MSGPACK, JSON = Codec("msgpack"), Codec("json")
VAULT, OUTER = Vault({1: new_key()}, 1), new_key()
PLACE = {"table": "t", "column": "c", "row": "r"}
HEADERS = {PROTOCOL_HEADER.lower(): str(PROTOCOL_VERSION), "content-type": "application/x-msgpack"}
AUTHORITY = make_authority("test", 1_700_000_000_000).certificate
PROXIES = parse_networks(["10.0.0.0/8"], "test")


def export(data: bytes) -> None:
    reader = ExportReader()
    for piece in (data[:7], data[7:]):
        list(reader.feed(piece))
    reader.finish()


def recording(data: bytes) -> None:
    reader = FrameReader()
    for piece in (data[:9], data[9:]):
        list(reader.feed(piece))
    reader.finish()


def recorded() -> bytes:
    writer = FrameWriter()
    manifest = RecordedManifest(made_by="x", made_at_ms=1, since_ms=1, until_ms=2, lead_ms=0, hosts=0)
    return writer.begin() + writer.frame(manifest) + writer.end(rows=0, samples=0, tables=0, events=0)


HELLO = Hello(version="1", stream="s", oldest_seq=0, newest_seq=0, interval_ms=1000, clock_ms=1)
RECORDS = Records(records=[Record(1, 1, 1, "c", b"\x00" * 16)])
CATALOGUE = AnnounceCatalogue(id="c", series=(Series(name="a"),))
PROOF = Proof(host_id="host_1", generation=1, server_key="", signature="00" * 64)
PROBLEM = Problem(type="urn:cybercorp:problem:forbidden", title="Forbidden", status=403, code="forbidden", detail="no")

SITE, CHALLENGE = Site("fleet.test", "https://fleet.test"), b"c" * 32
DEVICE = Authenticator("https://fleet.test")
CREATED = msgspec.json.encode(DEVICE.create(registration_options(SITE, CHALLENGE, "user_x", "ada", [], 60)))
USED = msgspec.json.encode(DEVICE.get(assertion_options(SITE, CHALLENGE, [], 60)))
PASSKEY, _ = check_registration(msgspec.json.decode(CREATED), SITE, CHALLENGE)


def json_dict(data: bytes) -> dict[str, Any]:
    """What the server's own body decoder lets through to a handler."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except UNREADABLE as error:
        raise MalformedMessageError("no JSON") from error


def registered(data: bytes) -> None:
    check_registration(json_dict(data), SITE, CHALLENGE)


def used(data: bytes) -> None:
    check_assertion(json_dict(data), SITE, CHALLENGE, PASSKEY, 0)


# By name: the decoder, and bytes that it takes.
DECODERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "hello": (MSGPACK.decode, MSGPACK.encode("agent.hello", HELLO)),
    "records": (MSGPACK.decode, MSGPACK.encode("agent.records", RECORDS)),
    "catalogue": (MSGPACK.decode, MSGPACK.encode("agent.catalogue", CATALOGUE)),
    "proof": (MSGPACK.decode, MSGPACK.encode("agent.proof", PROOF)),
    "subscribe": (JSON.decode, JSON.encode("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS))),
    "export": (export, pack_frame(ExportHead(start_ms=1, end_ms=2, hosts=0)) + pack_frame(ExportEnd(blocks=0))),
    "recording": (recording, recorded()),
    "an answer": (lambda data: read_answer(200, HEADERS, data, list[Host], url="u"), msgspec.msgpack.encode([])),
    "a problem": (lambda data: read_problem(403, HEADERS, data), msgspec.msgpack.encode(PROBLEM)),
    "sealed": (lambda data: VAULT.open_bytes(data, **PLACE), VAULT.seal_bytes(b"x", **PLACE)),
    "a sealed text": (lambda data: VAULT.open(text(data), **PLACE), VAULT.seal(b"x", **PLACE).encode()),
    "a key's number": (key_number, VAULT.seal_bytes(b"x", **PLACE)),
    "a wrapped key": (lambda data: unwrap_key(text(data), 1, OUTER), wrap_key(new_key(), 1, OUTER).encode()),
    "certificates": (lambda data: [pin_of(one) for one in split_pem(text(data))], AUTHORITY.encode()),
    "authorities": (lambda data: trusting(text(data)), AUTHORITY.encode()),
    "a pin": (lambda data: check_pin(text(data)), pin_of(AUTHORITY).encode()),
    "names": (lambda data: check_names(text(data).split(",")), b"a.test,192.0.2.1"),
    "a key": (lambda data: parse_key(text(data), "test"), base64.b64encode(new_key())),
    "a token": (lambda data: token_kind(text(data)), b"cco_x_00000000"),
    "a bearer header": (lambda data: bearer_token(text(data)), b"Bearer x"),
    "a basic header": (lambda data: basic_password(text(data)), b"Basic eDp5"),
    "an agent's header": (lambda data: agent_key_host(text(data)), b"Agent-Key host_1"),
    "a forwarded header": (lambda data: forwarded_for("10.0.0.1", text(data), PROXIES), b"192.0.2.1, 10.0.0.2"),
    "a network": (lambda data: network_key(text(data)), b"2001:db8::1"),
    "networks": (lambda data: parse_networks(text(data).split(","), "test"), b"10.0.0.0/8"),
    "a scope": (lambda data: parse_scope(text(data)), b"env=prod team!=core"),
    "a selector": (lambda data: parse_host_selector(text(data)), b"web-* env=prod cpu>80"),
    "a page's site": (lambda data: site_of(text(data)), b"https://fleet.test:8443"),
    "a new passkey": (registered, CREATED),
    "a used passkey": (used, USED),
    "whose passkey": (lambda data: claimed_user(json_dict(data)), USED),
    "a user's name": (lambda data: check_user_name(text(data)), b"ada"),
}
TRAPS = [
    b"",
    b"\xff" * 64,
    b"\x91" * 100_000,  # arrays in arrays (MessagePack)
    b"\x81\xa1a" * 50_000,  # maps in maps
    b"[" * 100_000,
    b'{"v":1,"kind":"live.subscribe","payload":' + b'{"a":' * 50_000,
    b"\xdd\xff\xff\xff\xff",  # four billion elements
    b"\xc6\xff\xff\xff\xff",
    b"9" * 100_000,
    b"-" + b"9" * 400 + b"e" + b"9" * 400,
    b"\xc3\x28\xed\xa0\x80",  # no UTF-8
    b"\x00" * 1000,
    "１２３.\u202e\u0000".encode(),
]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def decode(name: str, data: bytes) -> None:
    """It may refuse in our own words; anything else is a bug."""
    said = "fine"
    try:
        DECODERS[name][0](data)
    except CyberCorpError as error:
        said = str(error)
    assert 0 < len(said) < 2000


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_right_is_taken(name: str) -> None:
    """The sample is one: else the changes below would only ever be refused at the door."""
    decoder, sample = DECODERS[name]
    decoder(sample)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("trap", TRAPS, ids=range(len(TRAPS)))
def test_traps(name: str, trap: bytes) -> None:
    """Alone, and behind what is right."""
    decode(name, trap)
    decode(name, DECODERS[name][1] + trap[:1000])


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=60)
@given(data=st.data())
def test_changed_bytes(name: str, data: st.DataObject) -> None:
    """A part of what is right is replaced, removed or doubled; or the bytes are anything."""
    sample = DECODERS[name][1]
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, len(sample)))
    changed = data.draw(
        st.one_of(
            st.binary(max_size=40).map(lambda part: sample[:start] + part + sample[end:]),
            st.just(sample[:end] + sample[start:]),
            st.binary(max_size=200),
        )
    )
    decode(name, changed)


@settings(max_examples=150)
@given(data=st.data())
def test_changed_bytes_inside_a_passkey(data: st.DataObject) -> None:
    """Not the JSON is changed but what it carries: authenticator data, CBOR, the signature, the client's data."""
    created = data.draw(st.booleans())
    credential = msgspec.json.decode(CREATED if created else USED)
    fields = (
        ("attestationObject", "clientDataJSON") if created else ("authenticatorData", "clientDataJSON", "signature")
    )
    field = data.draw(st.sampled_from(fields))
    inner = base64.urlsafe_b64decode(credential["response"][field] + "==")
    start = data.draw(st.integers(0, len(inner)))
    end = data.draw(st.integers(start, len(inner)))
    changed = inner[:start] + data.draw(st.binary(max_size=40)) + inner[end:]
    credential["response"][field] = base64.urlsafe_b64encode(changed).decode().rstrip("=")
    decode("a new passkey" if created else "a used passkey", msgspec.json.encode(credential))
