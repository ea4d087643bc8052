"""The audit trail on both databases: durable twice, chained, signed; whatever is changed later is found."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, text

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ForbiddenError, InvalidInputError, StorageError
from cybercorp.protocol.audit import GENESIS, AuditVerification, Decision, Outcome
from cybercorp.protocol.audit_lines import record_hash
from cybercorp.security.audit_chain import ChainCheck, sign_checkpoint
from cybercorp.security.audit_files import read_lines, verify_file
from cybercorp.security.vault import Vault, new_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.keys import new_signing_key
from cybercorp.server.services.policy import OWNER
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.audit import Rows
from cybercorp.store.records.database import Records
from cybercorp.store.records.signing_keys import Purpose
from cybercorp.store.records.tables import AUDIT, AUDIT_CHECKPOINTS, SIGNING_KEYS
from tests.attacks.audit_trails import reader
from tests.contract.conftest import Another

ACTOR = Principal(kind=PrincipalKind.USER, id="user_1", name="ada", rights=OWNER, network="192.0.2.1")
VAULT = Vault({1: new_key()}, 1)


def service(records: Records, file: Path) -> AuditService:
    return AuditService(records.audit, records.signing_keys, VAULT, ManualClock(), file)


@pytest.fixture
def audit(records: Records, tmp_path: Path) -> AuditService:
    return service(records, tmp_path / "audit.jsonl")


async def test_what_is_written_comes_back(records: Records, audit: AuditService) -> None:
    """In order, chained from the first on, with who, where, what and why; control characters are spelled out."""
    first = await audit.record("login.password", actor=ACTOR, detail={"client": "cli\x1b[2J"})
    second = await audit.record("hosts.remove", actor_name="eve\x07", decision=Decision.REFUSED, network="::1")
    page = await records.audit.page()
    assert page.records == [first, second]
    assert (first.previous, second.previous) == (GENESIS, first.hash)
    assert first.detail == {"client": "cli\\x1b[2J"}
    assert (second.actor, second.network, second.decision) == ("eve\\x07", "::1", Decision.REFUSED)
    assert (await audit.verify()).finding is None


async def test_filters(records: Records, audit: AuditService) -> None:
    """By operation (also a noun's), actor, target, decision, time and place."""
    for operation, target in (("user.create", "bob"), ("user.remove", "bob"), ("login.password", "")):
        await audit.record(operation, actor=ACTOR, target_kind="user", target_id="user_2", target=target)
    assert [one.id for one in (await records.audit.page(operations=["user.*"])).records] == [1, 2]
    assert [one.id for one in (await records.audit.page(operations=["user.remove", "login.*"])).records] == [2, 3]
    assert len((await records.audit.page(actor="ada")).records) == 3
    assert len((await records.audit.page(target="bob")).records) == 2
    assert (await records.audit.page(decision="refused")).records == []
    page = await records.audit.page(limit=2)
    assert page.next_after == 2
    assert [one.id for one in (await records.audit.page(after=2)).records] == [3]
    assert [one.id for one in (await records.audit.page(newest=True, limit=2)).records] == [2, 3]


async def test_an_action_is_an_intent_and_an_outcome(records: Records, audit: AuditService) -> None:
    """The intent is durable before the action runs; a failed one says with which code."""
    async with audit.intend("hosts.remove", actor=ACTOR, target="web-1"):
        (intent,) = (await records.audit.page()).records
        assert intent.outcome is Outcome.INTENT
    with pytest.raises(ForbiddenError):
        async with audit.intend("hosts.remove", actor=ACTOR, target="web-2"):
            raise ForbiddenError("no", code="mfa_required")
    outcomes = [(one.outcome, one.intent, one.detail.get("error")) for one in (await records.audit.page()).records]
    assert outcomes == [
        (Outcome.INTENT, None, None),
        (Outcome.DONE, 1, None),
        (Outcome.INTENT, None, None),
        (Outcome.FAILED, 3, "mfa_required"),
    ]
    assert await audit.close_open_intents() == 0


async def test_an_intent_without_an_end_is_closed_as_unknown(records: Records, tmp_path: Path) -> None:
    """A server that died between the two says so at its next start, once."""
    before = service(records, tmp_path / "audit.jsonl")
    await before.record("hosts.remove", actor=ACTOR, outcome=Outcome.INTENT, target="web-1")
    after = service(records, tmp_path / "audit.jsonl")
    assert await after.close_open_intents() == 1
    assert await after.close_open_intents() == 0
    closed = (await records.audit.page()).records[-1]
    assert (closed.outcome, closed.intent, closed.target) == (Outcome.UNKNOWN, 1, "web-1")
    assert (await after.verify()).finding is None


async def test_no_durable_intent_no_action(records: Records, tmp_path: Path) -> None:
    """Where either copy cannot be written the action does not begin; it goes on when both can."""
    folder = tmp_path / "sink"
    audit = service(records, folder / "audit.jsonl")
    ran = False
    with pytest.raises(StorageError):
        async with audit.intend("hosts.remove", actor=ACTOR):
            ran = True
    assert not ran
    assert audit.failing
    folder.mkdir()
    async with audit.intend("hosts.remove", actor=ACTOR):
        ran = True
    assert ran
    assert not audit.failing
    assert (await audit.verify()).finding is None


async def test_many_at_once_on_two_instances(records: Records, tmp_path: Path, another: Another) -> None:
    """Every record is there once, in one chain, whoever wrote it."""
    other = await another()
    here, there = service(records, tmp_path / "a.jsonl"), service(other, tmp_path / "b.jsonl")
    await asyncio.gather(*(one.record(f"test.n{n}", actor=ACTOR) for n in range(100) for one in (here, there)))
    await asyncio.gather(here.checkpoint(), there.checkpoint())
    assert len((await records.audit.page(limit=1000)).records) == 200
    for one in (here, there):
        assert await one.verify() == AuditVerification(
            records=200, checkpoints=len(await records.audit.checkpoints()), head=(await one.verify()).head
        )


async def written(audit: AuditService, records: Records, count: int = 60) -> list[list[Any]]:
    """A trail with checkpoints in it, as rows."""
    for number in range(count):
        await audit.record(f"test.n{number % 7}", actor=ACTOR, target=f"host-{number}", detail={"n": str(number)})
        if number % 20 == 19:
            await audit.checkpoint()
    rows: list[list[Any]] = []

    def take(some: Rows) -> bool:
        rows.extend(list(row) for row in some)
        return True

    await records.audit.scan(take)
    return rows


def restamp(rows: list[list[Any]], start: int) -> None:
    previous = rows[start - 1][16] if start else GENESIS
    for number in range(start, len(rows)):
        rows[number][0] = number + 1
        rows[number][15] = previous
        previous = rows[number][16] = record_hash(rows[number])


async def test_the_second_copy_finds_what_was_not_signed_yet(
    records: Records, audit: AuditService, tmp_path: Path
) -> None:
    """A tail that was cut or written anew after the last checkpoint is told by the file."""
    rows = await written(audit, records, 50)  # 10 records after the last checkpoint
    keys = {one.id: bytes.fromhex(one.public_key) for one in await audit.keys()}
    checkpoints = await records.audit.checkpoints()
    copy = list(read_lines(tmp_path / "audit.jsonl"))
    assert len([one for one in copy if one.record is not None]) == 50
    for change in (lambda made: made[:45], lambda made: restamped(made, 47)):
        changed = change([[*row] for row in rows])
        alone, both = ChainCheck(checkpoints, keys), ChainCheck(checkpoints, keys, copy=reader(copy))
        alone.take(changed)
        both.take(changed)
        assert alone.finish().finding is None  # which is why there is a second copy
        assert both.finish().finding is not None


def restamped(rows: list[list[Any]], at: int) -> list[list[Any]]:
    rows[at][6] = "somebody else"
    restamp(rows, at)
    return rows


async def test_checkpoints_cannot_be_made_up(records: Records, audit: AuditService) -> None:
    """Not without the key, not by leaving one out, not with an older one's signature."""
    rows = await written(audit, records)
    keys = {one.id: bytes.fromhex(one.public_key) for one in await audit.keys()}
    good = await records.audit.checkpoints()
    wrong = [good[:1] + good[2:], good[::-1], [], {}]
    for checkpoints, believed in ((wrong[0], keys), (wrong[1], keys), (good, {}), (good, {good[0].key_id: bytes(32)})):
        check = ChainCheck(checkpoints, believed)  # type: ignore[arg-type]
        check.take(rows)
        assert check.finish().finding is not None


async def test_a_changed_database_is_found_from_outside(records: Records, audit: AuditService) -> None:
    """The whole way: the real table is changed behind the service's back."""
    await written(audit, records, 30)
    async with records._connections.writing() as connection:
        await connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE id = 17"))
    found = (await audit.verify()).finding
    assert found is not None
    assert found.record == 17


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor_kind = CAST(x'bac7ab' AS BLOB) WHERE id = 17",  # in base64 it is 'user'
        "UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE id = 17",
        "UPDATE audit SET detail = detail || x'0a' WHERE id = 17",
        "UPDATE audit SET detail = ' ' || detail WHERE id = 17",
        "UPDATE audit SET time_ms = time_ms + 0.5 WHERE id = 17",
        "UPDATE audit SET hash = upper(hash) WHERE id = 17",
    ],
)
async def test_values_that_no_record_has(tmp_path: Path, change: str) -> None:
    """SQLite keeps any value in any column: what only looks like a record is found, and named."""
    records = await Records.open(tmp_path / "records.db")
    audit = service(records, tmp_path / "audit.jsonl")
    await written(audit, records, 30)
    alone = service(records, tmp_path / "elsewhere.jsonl")
    assert (await alone.verify()).finding is None
    async with records._connections.writing() as connection:
        await connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        await connection.execute(text(change))
    for one in (alone, audit):
        found = (await one.verify()).finding
        assert found is not None
        assert found.record == 17
    await records.close()


async def test_a_number_below_the_first(records: Records, audit: AuditService) -> None:
    """Nobody hides a record in front of the trail."""
    rows = await written(audit, records, 5)
    async with records._connections.writing() as connection:
        await connection.execute(insert(AUDIT).values([-3, *rows[2][1:]]))
    found = (await audit.verify()).finding
    assert found is not None
    assert found.record == 1


async def test_anybody_can_check_a_line(records: Records, audit: AuditService, tmp_path: Path) -> None:
    """With any JSON and SHA-256: a record without its hash is what was hashed, and names the one before."""
    await written(audit, records, 30)
    await audit.record("test.text", actor=ACTOR, target="z\u00fcrich \u4e2d", detail={"z": '"', "a": "\\"})
    previous = GENESIS
    for line in (tmp_path / "audit.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line).get("record")
        if record is not None:
            told = record.pop("hash")
            plain = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
            assert hashlib.sha256(plain).hexdigest() == told
            assert record["previous"] == previous
            previous = told


async def test_rows_of_another_database_do_not_fit(records: Records, audit: AuditService) -> None:
    """A record that was copied in behind the last one follows nothing."""
    rows = await written(audit, records, 5)
    async with records._connections.writing() as connection:
        await connection.execute(insert(AUDIT).values([6, *rows[2][1:]]))
    found = (await audit.verify()).finding
    assert found is not None
    assert found.record == 6


async def test_what_is_half_written_is_taken_back(records: Records, tmp_path: Path) -> None:
    """In the database and not in the copy: whoever asked is refused, the trail says so later, the copy catches up."""
    path = tmp_path / "audit.jsonl"
    audit = service(records, path)
    await audit.record("test.first", actor=ACTOR)
    path.rename(tmp_path / "kept")
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError):
        await audit.record("login.password", actor=ACTOR)
    path.unlink()
    (tmp_path / "kept").rename(path)
    await audit.record("test.second", actor=ACTOR)
    found = [(one.operation, one.outcome, one.intent, one.detail) for one in (await records.audit.page()).records]
    assert found[1:] == [
        ("login.password", Outcome.DONE, None, {}),
        ("login.password", Outcome.FAILED, 2, {"error": "audit_not_durable"}),
        ("test.second", Outcome.DONE, None, {}),
    ]
    assert [one.record.id for one in read_lines(path) if one.record is not None] == [1, 2, 3, 4]
    assert (await audit.verify()).finding is None


async def test_an_outcome_that_cannot_be_written_is_owed(records: Records, tmp_path: Path) -> None:
    """What has been done has been done: nobody is told otherwise, and it is written down when that is possible."""
    path = tmp_path / "audit.jsonl"
    audit = service(records, path)
    async with audit.intend("host.remove", actor=ACTOR):
        path.rename(tmp_path / "kept")
        path.symlink_to("/dev/full")
    assert audit.failing
    path.unlink()
    (tmp_path / "kept").rename(path)
    await audit.checkpoint()
    assert not audit.failing
    assert [one.outcome for one in (await records.audit.page()).records][:2] == [Outcome.INTENT, Outcome.DONE]
    assert await audit.close_open_intents() == 0
    assert (await audit.verify()).finding is None


async def test_an_intent_that_nobody_waited_for_fails(records: Records, audit: AuditService) -> None:
    """A client that goes away before the intent is durable has nothing done, and the trail says so."""
    waiting = asyncio.create_task(audit.begin("host.remove", actor=ACTOR))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await audit.close()
    found = [(one.outcome, one.detail) for one in (await records.audit.page()).records]
    assert found == [(Outcome.INTENT, {}), (Outcome.FAILED, {"error": "cancelled"})]


async def test_a_key_that_somebody_added_is_not_believed(records: Records, audit: AuditService) -> None:
    """Who can write the database can make up a chain, a key and signatures, but not seal the key as the vault does."""
    rows = await written(audit, records, 25)
    forged = new_signing_key(Purpose.AUDIT, 1)
    rows[10][6] = "somebody else"
    restamp(rows, 10)
    async with records._connections.writing() as connection:
        await connection.execute(AUDIT.delete())
        await connection.execute(AUDIT_CHECKPOINTS.delete())
        await connection.execute(insert(AUDIT).values([tuple(row) for row in rows]))
        values = {**msgspec.structs.asdict(forged), "public_key": forged.public_key.hex(), "private_key": ""}
        await connection.execute(insert(SIGNING_KEYS).values(values))
    made = sign_checkpoint(None, 1, 25, rows[-1][16], forged.id, forged.private_key)
    assert await records.audit.add_checkpoint(made)
    alone = AuditService(records.audit, records.signing_keys, VAULT, ManualClock(), Path("/nonexistent/copy"))
    found = (await alone.verify()).finding
    assert found is not None
    assert "not the server's" in found.reason


async def test_keys_change_with_the_years(records: Records, tmp_path: Path) -> None:
    """A key signs for a year; what it signed is believed for ever."""
    clock = ManualClock()
    audit = AuditService(records.audit, records.signing_keys, VAULT, clock, tmp_path / "audit.jsonl")
    for _ in range(3):
        await audit.record("test.year", actor=ACTOR)
        assert await audit.checkpoint()
        clock.advance(366 * 86_400)
    assert len({one.key_id for one in await records.audit.checkpoints()}) == 3
    assert (await audit.verify()).finding is None


async def test_a_clock_that_jumps_is_no_fault(records: Records, tmp_path: Path) -> None:
    """Order is that of the chain; a time before the last one is what the clock said."""
    clock = ManualClock()
    audit = AuditService(records.audit, records.signing_keys, VAULT, clock, tmp_path / "audit.jsonl")
    for seconds in (0, 86_400, -400_000, 5):
        clock.step_wall(seconds)
        await audit.record("test.clock", actor=ACTOR)
        await audit.checkpoint()
    assert (await audit.verify()).finding is None


async def test_an_export_is_checked_without_the_server(records: Records, audit: AuditService, tmp_path: Path) -> None:
    """With the keys that the server told before; without them it says that nobody vouches for the file's own."""
    await written(audit, records, 30)
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join([part async for part in audit.export()]))
    keys = [one.public_key for one in await audit.keys()]
    assert verify_file(path, keys=keys) == (await audit.verify(), True)
    assert verify_file(path)[1] is False
    wrong, _ = verify_file(path, keys=["00" * 32])
    assert wrong.finding is not None
    copy = tmp_path / "audit.jsonl"
    assert verify_file(copy, keys=keys)[0].finding is None
    copy.write_bytes(b"".join(copy.read_bytes().splitlines(keepends=True)[12:]))
    partial, _ = verify_file(copy, keys=keys)
    assert (partial.first, partial.finding) == (13, None)
    with pytest.raises(InvalidInputError, match="no key"):
        verify_file(copy)
