"""Process tables come back as they came, byte by byte, whatever an agent sent; and take few bytes."""

import math
import random
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.protocol.processes import ProcessChanges, ProcessExit, ProcessStart, ProcessTable
from cybercorp.store.timeseries.encoding.process_tables import TablesReader, changes_of, encode_tables

encode = msgspec.msgpack.encode
HEAD = ("timestamp_ms", "total", "partial", "changes")
COLUMNS = [one.name for one in msgspec.structs.fields(ProcessTable) if one.name not in HEAD]
numbers = st.integers(-(1 << 63), (1 << 64) - 1)
floats = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text(max_size=12) | st.sampled_from(["", "\x1b[2J", "‮", "\x00", "nginx: worker"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "pid": st.integers(0, 6) | numbers,
    "started_at_ms": st.integers(0, 3) | numbers,
    "parent": st.integers(0, 3) | numbers,
    "cpu": st.none() | floats | st.sampled_from([0.0, -0.0, 0.25]),
    "cpu_time_s": floats | st.sampled_from([1.25, 1.26]),
    "rss_bytes": st.integers(0, 1 << 40) | numbers,
    "threads": st.integers(1, 9) | numbers,
    "read_bytes": st.none() | numbers,
    "write_bytes": st.none() | st.integers(0, 5000),
    "read_rate": st.none() | floats,
    "write_rate": st.none() | floats,
}


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table as an agent, or something worse, sends it."""
    rows = draw(st.integers(0, 5))
    columns = {name: draw(st.lists(VALUES.get(name, texts), min_size=rows, max_size=rows)) for name in COLUMNS}
    if draw(st.booleans()):  # as a scanner has it: sorted by pid
        order = sorted(range(rows), key=lambda row: (columns["pid"][row], columns["started_at_ms"][row]))
        columns = {name: [values[row] for row in order] for name, values in columns.items()}
    head = {"timestamp_ms": draw(st.integers(0, 1 << 50)), "total": draw(st.integers(0, 999)), "partial": True}
    spoil = draw(st.sampled_from(["", "", "", "", "field", "uneven", "cut", "noise"]))
    if spoil == "noise":
        return draw(st.binary(max_size=40))
    if spoil == "uneven" and rows:
        columns["name"].pop()
    more = {"unknown": [1, "two"]} if spoil == "field" else {}
    body = encode({**head, **columns, **more})
    return body[:-1] if spoil == "cut" else body


@given(st.lists(tables(), min_size=1, max_size=6))
def test_every_table_comes_back_byte_by_byte(bodies: list[bytes]) -> None:
    """Odd numbers, NaN, −0.0, hostile texts, unknown fields, malformed bytes: nothing is changed or lost."""
    reader = TablesReader(encode_tables(bodies))
    assert len(reader) == len(bodies)
    assert reader.bodies() == bodies


def recorded(count: int, seed: int = 1) -> list[ProcessTable]:
    """Tables of a host with daemons that idle, some that work, and short-lived ones that come and go."""
    chance = random.Random(seed)
    lives = [(100 + n, f"daemon-{n}", f"/usr/sbin/daemon-{n} --config /etc/daemon-{n}.conf", n < 6) for n in range(28)]
    used = [chance.random() * 100 for _ in lives]
    made = []
    for step in range(count):
        rows: list[tuple[object, ...]] = []
        for number, (pid, name, command, works) in enumerate(lives):
            share = round(chance.random(), 4) if works else 0.0
            used[number] = round(used[number] + share * 10, 2)
            rss = (4096 * (2000 + 37 * number)) + (4096 * chance.randrange(40) if works else 0)
            rows.append((pid, 1, name, command, "root", "S", share, used[number], rss, 3, 0, 0, 0.0, 0.0, 1_000 * pid))
        for born in range(3):
            pid = 5_000 + 3 * step + born
            born_row = (
                pid,
                100,
                "sh",
                f"sh -c job {pid}",
                "app",
                "R",
                0.5,
                0.1,
                4096 * 500,
                1,
                None,
                None,
                None,
                None,
                pid,
            )
            rows.append(born_row)
        columns: dict[str, Any] = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        made.append(ProcessTable(timestamp_ms=10_000 * step, total=200, partial=True, **columns))
    return made


def test_one_table_of_many() -> None:
    """Any one is read without the others, typed and as bytes."""
    made = recorded(60)
    reader = TablesReader(encode_tables([encode(one) for one in made]))
    assert [reader.table(number) for number in (59, 0, 30)] == [made[59], made[0], made[30]]
    assert reader.body(7) == encode(made[7])


def test_it_takes_few_bytes() -> None:
    """Half an hour takes less than a third of what compressing the tables as they are takes."""
    bodies = [encode(one) for one in recorded(180)]
    assert len(encode_tables(bodies)) < len(zlib.compress(b"".join(bodies), 6)) / 3


def test_a_share_that_is_no_number_stays_apart_from_one_that_is_unknown() -> None:
    """NaN is NaN and None is None."""
    (table,) = recorded(1)
    table = msgspec.structs.replace(table, cpu=[math.nan, None, *table.cpu[2:]])
    found = TablesReader(encode_tables([encode(table)])).table(0)
    assert found.cpu[0] is not None
    assert math.isnan(found.cpu[0])
    assert found.cpu[1] is None


@pytest.mark.parametrize("data", [b"PT1", b"PT1garbage", b"PT1" + b"\x28\xb5\x2f\xfd" + bytes(20)])
def test_other_bytes_are_refused(data: bytes) -> None:
    """A clear error, not a wrong table."""
    with pytest.raises(ValueError, match="process tables cannot be read"):
        TablesReader(data)


def test_starts_and_exits_are_read_without_the_columns() -> None:
    """Whether a table was taken apart or kept as it came; tables without changes tell nothing."""
    made = recorded(40)
    told = ProcessChanges(
        started=[ProcessStart(7, 1_000, 1, "sh", "sh -c x", "app")],
        exited=[ProcessExit(9, 500, 900, 1.5, 4096, "old")],
        unlisted=3,
    )
    made[5] = msgspec.structs.replace(made[5], changes=told)
    odd = encode({**msgspec.to_builtins(msgspec.structs.replace(made[8], changes=told)), "unknown": 1})
    bodies = [odd if number == 8 else encode(one) for number, one in enumerate(made)]
    assert list(TablesReader(encode_tables(bodies)).changes()) == [(5, told), (8, told)]
    assert TablesReader(encode_tables(bodies)).bodies() == bodies
    assert list(changes_of(bodies)) == [(5, told), (8, told)]
