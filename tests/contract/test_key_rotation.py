"""Rotation of the data key on both databases, on one instance and on two: nothing stops opening, the old key goes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ConflictError, StepUpRequiredError, StorageCorruptError
from cybercorp.protocol.keys import DataKeyState
from cybercorp.security.key_sources import KeyEncryptionKey
from cybercorp.security.vault import Vault, key_number, new_key
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.key_rotation import GRACE_MS, KeyService
from cybercorp.server.services.keys import new_signing_key, open_vault
from cybercorp.server.services.policy import OWNER
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.database import Records
from cybercorp.store.records.factors import FactorRow
from cybercorp.store.records.sealed_columns import SEALED_COLUMNS
from cybercorp.store.records.signing_keys import Purpose
from cybercorp.store.records.tables import METADATA, SIGNING_KEYS
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from tests.contract.conftest import Another

OUTER = KeyEncryptionKey(new_key(), "a file")
OWNER_HERE = Principal(kind=PrincipalKind.OWNER, id="owner", name="owner", rights=OWNER)
SECRET = {"table": "factors", "column": "secret", "row": "factor_1"}


class Instance:
    """A server's keys over these records."""

    def __init__(self, records: Records, vault: Vault, store: TimeSeries, clock: ManualClock, file: Path) -> None:
        self.records, self.vault = records, vault
        self.outer = OUTER
        store.encrypt_with(vault)
        audit = AuditService(records.audit, records.signing_keys, vault, clock, file)
        self.service = KeyService(
            records.data_keys, records.sealed_columns, store, vault, lambda: self.outer, audit, clock
        )

    async def work(self) -> None:
        """Until there is nothing to do now."""
        while await self.service.work():
            pass

    async def states(self) -> list[str]:
        return [row.state for row in await self.records.data_keys.list_()]

    async def secret(self) -> str:
        factor = await self.records.factors.find("factor_1")
        assert factor is not None
        return factor.secret


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[TimeSeries]:
    with contextlib.closing(TimeSeries.open(tmp_path / "samples.db", TimeSeriesSettings(), clock)) as opened:
        yield opened


@pytest.fixture
async def one(records: Records, store: TimeSeries, clock: ManualClock, tmp_path: Path) -> Instance:
    """With a factor and a signing key."""
    vault = await open_vault(records.data_keys, OUTER, clock)
    await records.signing_keys.create(new_signing_key(Purpose.ACCESS, 1), vault)
    factor = FactorRow(
        id="factor_1", user_id="u", kind="totp", name="", secret=vault.seal(b"seed", **SECRET), created_at_ms=1
    )
    await records.factors.add([factor])
    return Instance(records, vault, store, clock, tmp_path / "audit.jsonl")


async def test_everything_is_sealed_anew_and_the_old_key_is_destroyed(one: Instance, clock: ManualClock) -> None:
    """The new key waits until every server has it; then it encrypts; then the old one is gone, also from the table."""
    status = await one.service.rotate(OWNER_HERE)
    assert [key.state for key in status.keys] == [DataKeyState.CURRENT, DataKeyState.COMING]
    await one.work()
    assert one.vault.current == 1
    clock.advance(GRACE_MS / 1000)
    await one.work()
    assert (one.vault.current, await one.states()) == (2, ["old", "current"])
    assert key_number(await one.secret()) == 1
    clock.advance(GRACE_MS / 1000)
    await one.work()
    assert await one.states() == ["retired", "current"]
    assert (await one.records.data_keys.list_())[0].wrapped == ""
    fresh = await open_vault(one.records.data_keys, OUTER, clock)
    assert not fresh.has(1)
    assert fresh.open(await one.secret(), **SECRET) == b"seed"
    (signing,) = await one.records.signing_keys.list_(Purpose.ACCESS, fresh)
    assert len(signing.private_key) == 32
    await one.work()
    assert not one.vault.has(1)
    assert not (await one.service.status()).rotating
    told = [record.operation for record in (await one.records.audit.page()).records]
    assert told == ["key.rotate", "key.rotate", "key.retire"]


async def test_two_servers_never_meet_a_key_they_lack(
    one: Instance, another: Another, store: TimeSeries, clock: ManualClock, tmp_path: Path
) -> None:
    """Both look for keys every few seconds; whatever one seals in between, the other opens, until the end."""
    records = await another()
    other = Instance(records, await open_vault(records.data_keys, OUTER, clock), store, clock, tmp_path / "other.jsonl")
    store.encrypt_with(one.vault)
    await one.service.rotate(OWNER_HERE)
    for second in range(30):
        clock.advance(1)
        if second % 3 == 0:
            await one.work()
        if second % 5 == 0:
            await other.work()
        for sealing, opening in ((one, other), (other, one)):
            place = {"table": "t", "column": "c", "row": "r"}
            assert opening.vault.open(sealing.vault.seal(b"now", **place), **place) == b"now"
            assert opening.vault.open(await one.secret(), **SECRET) == b"seed"
    assert await one.states() == ["retired", "current"]
    assert [one.vault.has(1), other.vault.has(1)] == [False, False]


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_rotation_goes_on_after_a_kill(
    one: Instance, store: TimeSeries, clock: ManualClock, tmp_path: Path, rounds: int
) -> None:
    """Wherever it stood: what the tables say is enough to go on, and everything opens at every moment."""
    await one.service.rotate(OWNER_HERE)
    for _ in range(rounds):
        clock.advance(GRACE_MS / 1000)
        await one.service.work()
    vault = await open_vault(one.records.data_keys, OUTER, clock)
    again = Instance(one.records, vault, store, clock, tmp_path / "audit.jsonl")
    assert vault.open(await again.secret(), **SECRET) == b"seed"
    for _ in range(3):
        clock.advance(GRACE_MS / 1000)
        await again.work()
    assert await again.states() == ["retired", "current"]
    assert vault.open(await again.secret(), **SECRET) == b"seed"


class TestRefusals:
    async def test_a_person_must_prove_who_they_are(self, one: Instance) -> None:
        """Rotation is dangerous: it needs a fresh proof."""
        user = Principal(kind=PrincipalKind.USER, id="u", name="ann", rights=OWNER)
        with pytest.raises(StepUpRequiredError):
            await one.service.rotate(user)
        assert await one.states() == ["current"]

    async def test_one_at_a_time(self, one: Instance) -> None:
        """A second rotation waits for the first to begin."""
        await one.service.rotate(OWNER_HERE)
        with pytest.raises(ConflictError) as caught:
            await one.service.rotate(OWNER_HERE)
        assert caught.value.error_code == "rotation_running"

    async def test_another_outer_key_makes_no_data_key(self, one: Instance) -> None:
        """Else the records could not be opened at the next start."""
        one.outer = KeyEncryptionKey(new_key(), "another file")
        with pytest.raises(StorageCorruptError) as caught:
            await one.service.rotate(OWNER_HERE)
        assert caught.value.error_code == "key_missing"
        assert await one.states() == ["current"]


async def test_the_outer_key_is_replaced_at_a_start(one: Instance, clock: ManualClock) -> None:
    """With the key before at hand the data keys are wrapped anew; after that the key before opens nothing."""
    fresh = KeyEncryptionKey(new_key(), "a new file")
    vault = await open_vault(one.records.data_keys, fresh, clock, OUTER)
    assert vault.open(await one.secret(), **SECRET) == b"seed"
    assert await open_vault(one.records.data_keys, fresh, clock, OUTER)  # the setting may stay
    with pytest.raises(StorageCorruptError):
        await open_vault(one.records.data_keys, OUTER, clock)


async def test_a_secret_moved_to_another_row_does_not_open(one: Instance) -> None:
    """Two signing keys that change places in the table are refused, and stay refused after a rotation."""
    await one.records.signing_keys.create(new_signing_key(Purpose.ACCESS, 2), one.vault)
    connections = one.records.signing_keys._connections
    async with connections.writing() as connection:
        rows = (await connection.execute(select(SIGNING_KEYS.c.id, SIGNING_KEYS.c.private_key))).all()
        for (place, _), (_, sealed) in zip(rows, reversed(rows), strict=True):
            await connection.execute(update(SIGNING_KEYS).where(SIGNING_KEYS.c.id == place).values(private_key=sealed))
    one.vault.add(2, new_key())
    for number in (1, 2):
        one.vault.use(number)
        await one.records.sealed_columns.reseal(one.vault)
        with pytest.raises(StorageCorruptError) as caught:
            await one.records.signing_keys.list_(Purpose.ACCESS, one.vault)
        assert caught.value.error_code == "sealed_wrong"


def test_every_sealed_column_is_known_to_the_rotation() -> None:
    """What the source seals for a table and column of the records is in the list, and each is there with one key."""
    source = Path(__file__).parents[2] / "src" / "cybercorp"
    literal = re.compile(r"table=\"(\w+)\", column=\"(\w+)\"|\"table\": \"(\w+)\", \"column\": \"(\w+)\"")
    found = set()
    for path in source.rglob("*.py"):
        for match in literal.findall(path.read_text()):
            table, column = (part for part in match if part)
            if table in METADATA.tables:
                found.add((table, column))
    assert ("factors", "secret") in found
    assert found <= set(SEALED_COLUMNS)
    for table, column in SEALED_COLUMNS:
        assert column in METADATA.tables[table].c
        assert len(METADATA.tables[table].primary_key.columns) == 1
