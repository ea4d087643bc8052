"""Agents' keys on both databases and on two instances: one host is one agent, wherever it and its copy connect."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import ForbiddenError, StorageFullError, UnauthenticatedError
from cybercorp.protocol.agents import EnrolAnswer, EnrolmentRequest, EnrolRequest, Proof
from cybercorp.protocol.hosts import HostFacts
from cybercorp.security.agent_keys import new_agent_key, new_nonce, sign_proof
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.agent_keys import Admission, AgentKeyService
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import Fleet, LiveHost
from cybercorp.server.services.hosts import HostService
from cybercorp.server.services.principals import LOCAL_OWNER
from cybercorp.server.services.windows import WindowService
from cybercorp.store.records.agents import Generation
from cybercorp.store.records.database import Records
from tests.contract.conftest import Another

KEY = new_agent_key()
VAULT = Vault({1: new_key()}, 1)


class Instance:
    """One server's part of it."""

    def __init__(self, records: Records, file: Path) -> None:
        clock = SystemClock()
        self.records = records
        self.audit = AuditService(records.audit, records.signing_keys, VAULT, clock, file)
        self.fleet = Fleet(clock)
        events = EventService(records.events, clock)
        self.keys = AgentKeyService(records.agents, self.fleet, events, self.audit, clock, shared=True)
        windows = WindowService(self.fleet, clock)
        self.hosts = HostService(
            records.hosts, records.tokens, self.keys, self.fleet, windows, events, self.audit, clock
        )
        self.cut: list[str] = []
        self.keys.on_shut_out = lambda host: self.cut.append(host.name)

    async def load(self) -> None:
        await self.keys.load()
        for row in await self.records.hosts.list_():
            self.fleet.add(row)

    @property
    def host(self) -> LiveHost:
        found = self.fleet.find("web-1")
        assert found is not None
        return found

    async def prove(self, generation: int, mark: str = "") -> Admission:
        """Whoever has the key and this generation connects."""
        nonce = new_nonce()
        signed = sign_proof(KEY.private, nonce, self.host.id, generation, "", mark)
        proof = Proof(host_id=self.host.id, generation=generation, server_key="", signature=signed, mark=mark)
        return await self.keys.prove(self.host, proof, nonce, (), "192.0.2.1")

    async def connect(self, generation: int, mark: str = "") -> Admission:
        """And confirms what it is handed."""
        admission = await self.prove(generation, mark)
        self.keys.confirm(self.host, admission.generation, admission.mark)
        return admission

    async def refusal(self, generation: int, mark: str = "") -> str:
        with pytest.raises(ForbiddenError) as refused:
            await self.prove(generation, mark)
        return refused.value.error_code


@pytest.fixture
async def one(records: Records, tmp_path: Path) -> Instance:
    """An instance with the host web-1, whose agent has generation 1."""
    row = await records.hosts.create("web-1", {}, HostFacts(), 1)
    made = Instance(records, tmp_path / "one.jsonl")
    await made.keys.enrol(row.id, KEY.public, "192.0.2.1")
    await made.load()
    return made


@pytest.fixture
async def other(one: Instance, another: Another, tmp_path: Path) -> Instance:
    """Another instance of the same server."""
    made = Instance(await another(), tmp_path / "other.jsonl")
    await made.load()
    return made


async def test_the_same_generation_on_two_instances(one: Instance, other: Instance) -> None:
    """Both are let in at the same moment; as soon as it is written both are cut off, on both instances, and locked."""
    await asyncio.gather(one.connect(1), other.connect(1))
    await one.keys.save()
    await other.keys.save()
    await one.keys.look()
    assert (one.cut, other.cut) == (["web-1"], ["web-1"])
    for instance in (one, other):
        assert await instance.refusal(2) == "agent_locked"
        assert instance.host.agent_state == "locked"
    trail = (await one.audit.page(operations=["host.clone"])).records
    assert [str(record.outcome) for record in trail] == ["intent", "done"]


async def test_an_old_generation_on_the_other_instance(one: Instance, other: Instance) -> None:
    """What one has written the other one knows: a copy is seen at once."""
    handed = await one.connect(1)
    await one.keys.save()
    assert await other.refusal(1) == "agent_cloned"
    assert await one.refusal(handed.generation, handed.mark) == "agent_locked"


async def test_a_host_that_goes_from_one_to_the_other(one: Instance, other: Instance) -> None:
    """Back and forth, before anything is written and after: it is the same agent, and never locked."""
    generation, mark = 1, ""
    for step in range(6):
        instance = (one, other)[step % 2]
        handed = await instance.connect(generation, mark)
        generation, mark = handed.generation, handed.mark
        if step % 3 == 2:
            await one.keys.save()
            await other.keys.save()
    for instance in (one, other):
        await instance.keys.save()
        assert instance.cut == []
    await one.prove(generation, mark)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("confirms", [True, False])
async def test_a_server_that_is_killed_before_it_writes(
    one: Instance, other: Instance, alone: bool, confirms: bool
) -> None:
    """However often the agent was there, and confirmed or was cut off before: the next server believes it."""
    one.keys._shared = not alone
    generation, mark = 1, ""
    for _ in range(3):
        handed = await (one.connect if confirms else one.prove)(generation, mark)
        generation, mark = handed.generation, handed.mark
    # `one` is gone, and what it had not written with it.
    handed = await other.connect(generation, mark)
    assert await other.refusal(1) == "agent_cloned"


async def test_confirmations_that_are_lost(one: Instance) -> None:
    """The agent keeps what it is handed and is cut off before it can say so, again and again."""
    generation, mark = 1, ""
    for _ in range(4):
        handed = await one.prove(generation, mark)
        generation, mark = handed.generation, handed.mark
    await one.connect(generation, mark)


async def test_records_that_cannot_be_written(one: Instance, other: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent gets in with what it has, is handed nothing new, and is not locked when they can be written again."""
    handed = await one.prove(1)

    async def full(generations: dict[str, Generation]) -> list[object]:
        raise StorageFullError("full", hint="")

    with monkeypatch.context() as patch:
        patch.setattr(one.records.agents, "advance", full)
        for _ in range(3):
            again = await one.connect(handed.generation, handed.mark)
            assert (again.generation, again.mark) == (handed.generation, handed.mark)
    await one.connect(handed.generation, handed.mark)
    await one.keys.save()
    assert await other.refusal(1) == "agent_cloned"


async def test_no_durable_intent_no_lock(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a copy cannot be written down it is not let in and nobody is locked; it is found out when it can be."""
    handed = await one.connect(1)

    async def failing(*_: object, **__: object) -> None:
        raise StorageFullError("full", hint="")

    with monkeypatch.context() as patch:
        patch.setattr(one.audit, "record", failing)
        with pytest.raises(StorageFullError):
            await one.prove(1)
        await one.prove(handed.generation, handed.mark)
    assert one.cut == []
    assert await one.refusal(1) == "agent_cloned"
    assert one.cut


async def test_decisions_reach_the_other_instance(one: Instance, other: Instance) -> None:
    """Retired here, cut off there; approved here, admitted there."""
    assert (await one.connect(1)).generation == 2
    await one.keys.save()
    assert await one.refusal(1) == "agent_cloned"
    await other.keys.look()
    await other.keys.approve(LOCAL_OWNER, other.host)
    await one.prove(1)
    await one.keys.retire(LOCAL_OWNER, one.host)
    await other.keys.look()
    assert other.cut == ["web-1", "web-1"]
    assert await other.refusal(1) == "agent_retired"


async def test_one_token_on_two_instances(one: Instance, other: Instance) -> None:
    """Ten at once with one enrolment token: exactly one joins; the others leave no host and no key behind."""
    token = (await one.hosts.create_enrolment(EnrolmentRequest())).token

    async def join(number: int) -> EnrolAnswer:
        request = EnrolRequest(name=f"new-{number}", public_key=new_agent_key().public)
        return await (one, other)[number % 2].hosts.enrol(token, request, "192.0.2.1")

    answers = await asyncio.gather(*(join(number) for number in range(10)), return_exceptions=True)
    joined = [answer for answer in answers if isinstance(answer, EnrolAnswer)]
    assert len(joined) == 1
    assert all(isinstance(answer, UnauthenticatedError | EnrolAnswer) for answer in answers), answers
    names = {row.name for row in await one.records.hosts.list_()}
    assert names == {"web-1", joined[0].name}
    assert len(await one.records.agents.list_()) == 2


async def test_joining_is_written_down_first(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intent, then the host; where the intent cannot be durable the token stays good. A guess leaves no intent."""
    token = (await one.hosts.create_enrolment(EnrolmentRequest())).token
    request = EnrolRequest(name="web-2", public_key=new_agent_key().public)

    async def failing(*_: object, **__: object) -> None:
        raise StorageFullError("full", hint="")

    with monkeypatch.context() as patch:
        patch.setattr(one.audit, "record", failing)
        with pytest.raises(StorageFullError):
            await one.hosts.enrol(token, request, "192.0.2.1")
    assert {row.name for row in await one.records.hosts.list_()} == {"web-1"}
    with pytest.raises(UnauthenticatedError):
        await one.hosts.enrol(f"{token[:-9]}_00000000", request, "192.0.2.1")
    made = await one.hosts.enrol(token, request, "192.0.2.1")
    with pytest.raises(UnauthenticatedError):
        await one.hosts.enrol(token, msgspec.structs.replace(request, name="web-3"), "192.0.2.1")
    trail = (await one.audit.page(operations=["host.join"])).records
    assert [(str(record.outcome), record.target, record.target_id) for record in trail] == [
        ("intent", "web-2", ""),
        ("done", "web-2", made.host_id),
    ]


async def test_a_second_key_for_a_host(one: Instance) -> None:
    """The table holds one for each host; nobody puts another one in its place."""
    with pytest.raises(Exception, match=r"(?i)unique"):
        await one.keys.enrol(one.host.id, new_agent_key().public, "192.0.2.1")
    assert [row.public_key for row in await one.records.agents.list_()] == [KEY.public]
