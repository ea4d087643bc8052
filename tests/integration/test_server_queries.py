"""Queries and exports through a real server: groups, ranks, tiers, curves; every format; cut and refused ones."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cybercorp import AsyncClient, Client
from cybercorp.cli.main import run
from cybercorp.cli.output.export_sqlite import SqliteFile
from cybercorp.cli.output.exports import TextWriter
from cybercorp.core.errors import CyberCorpError, InvalidInputError, NotFoundError, StorageError
from cybercorp.protocol.agents import Acknowledge
from cybercorp.protocol.exports import iso_time
from tests.integration.serving import ServerThread, now_ms

LEVELS = {"a": 0.2, "b": 0.4, "c": 0.9}


@pytest.fixture(scope="module")
def begin_ms() -> int:
    return now_ms() // 3_600_000 * 3_600_000 - 3_600_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, begin_ms: int) -> Iterator[ServerThread]:
    """Three hosts with 120 samples each, two of them of one environment."""
    with ServerThread(tmp_path_factory.mktemp("data")) as running:
        peers = []
        for name, level in LEVELS.items():
            agent = running.agent(name)
            agent.announce()
            for second in range(120):
                agent.samples(level + second / 10_000, at_ms=begin_ms + second * 1000)
            while agent.expect(Acknowledge).seq < agent.seq:
                pass
            peers.append(agent)
            labels = {"env": "prod" if name != "c" else "dev"}
            running.http.patch(f"/api/v1/hosts/{name}", json={"labels": labels}).raise_for_status()
        yield running
        for agent in peers:
            agent.close()


@pytest.fixture
def fleet(server: ServerThread) -> Iterator[Client]:
    with Client(server.url, token=server.token) as client:
        yield client


def test_groups_are_joined_by_label_host_and_not_at_all(fleet: Client, begin_ms: int) -> None:
    """A group bears what it was joined by, how many series it has, and the aggregate of their points."""
    span: dict[str, Any] = {"since": begin_ms, "until": begin_ms + 120_000, "step": "1m"}
    found = fleet.metrics.query("cpu", by="label:env", group="max", **span).series
    assert [(one.labels, one.members, one.host) for one in found] == [({"env": "dev"}, 1, ""), ({"env": "prod"}, 2, "")]
    assert found[1].values == [pytest.approx(0.40295), pytest.approx(0.40895)]
    assert found[1].key == 'system.cpu.utilization{label:env="prod"}'
    [whole] = fleet.metrics.query("cpu", group="count", **span).series
    assert (whole.values, whole.members, whole.unit) == ([3.0, 3.0], 3, "{series}")
    assert [one.host for one in fleet.metrics.query("net", by="host", **span).series] == ["a", "b", "c"]


def test_the_highest_and_the_lowest_come_in_order(fleet: Client, begin_ms: int) -> None:
    """`topk` names the busiest first, `bottomk` the idlest, and says of how many."""
    span: dict[str, Any] = {"since": begin_ms, "until": begin_ms + 120_000, "step": "2m"}
    top = fleet.metrics.query("cpu", topk=2, **span)
    assert ([one.host for one in top.series], top.answer.found) == (["c", "b"], 3)
    assert [one.host for one in fleet.metrics.query("cpu", bottomk=1, rank="max", **span).series] == ["a"]


def test_the_tier_is_named_and_changes_no_number(fleet: Client, begin_ms: int) -> None:
    """A long range in whole minutes is read as minutes, a short one from every sample: the numbers are the same."""
    fine = fleet.metrics.query("cpu", since=begin_ms, until=begin_ms + 180_000, step="1m")
    long = fleet.metrics.query("cpu", since=begin_ms - 4 * 3_600_000, until=begin_ms + 180_000, step="1m")
    days = fleet.metrics.query("cpu", since=begin_ms - 5 * 86_400_000, until=begin_ms + 3_600_000, step="1h")
    assert [one.answer.tier for one in (fine, long, days)] == ["raw", "1m", "1h"]
    for one, other in zip(fine.series, long.series, strict=True):
        assert other.values[-3:-1] == pytest.approx(one.values[:2])
    assert days.series[0].values[-1] == pytest.approx(0.2 + 59.5 / 10_000)
    assert fleet.metrics.query("cpu", since=begin_ms - 4 * 3_600_000, step="1m", aggregation="quantile", quantile=0.5)


def test_a_curve_has_times_of_its_own(fleet: Client, begin_ms: int) -> None:
    """Downsampled series keep real samples with their times."""
    found = fleet.metrics.query(
        "cpu", hosts="a", since=begin_ms, until=begin_ms + 120_000, points=10, downsample="minmaxlttb"
    )
    [curve] = found.series
    assert curve.times_ms is not None
    assert len(curve.values) <= 10
    for time_ms, value in zip(curve.times_ms, curve.values, strict=True):
        assert value == pytest.approx(0.2 + (time_ms - begin_ms) / 1000 / 10_000)
    assert found.to_polars().height == len(curve.values)
    with pytest.raises(InvalidInputError, match="no common steps"):
        found.to_numpy()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"by": "label:"}, "nothing to group by"),
        ({"topk": 1, "bottomk": 1}, "exclude each other"),
        ({"group": "max", "group_quantile": 0.5}, "joined by max"),
        ({"rank": "best"}, "rank"),
        ({"downsample": "lttb"}, "downsample"),
    ],
)
def test_bad_questions_are_problems(server: ServerThread, begin_ms: int, params: dict[str, Any], words: str) -> None:
    """400, with words that name what was wrong."""
    answer = server.http.get("/api/v1/metrics/query", params={"metric": "cpu", "start_ms": begin_ms, **params})
    assert answer.status_code == 400
    assert words in answer.text


def test_an_export_has_every_sample(fleet: Client, begin_ms: int) -> None:
    """Host by host, as it was stored; the head says what will come, the last block that all is done."""
    with fleet.metrics.export("cpu", since=begin_ms, until=begin_ms + 120_000) as export:
        blocks = list(export)
    assert (export.head.hosts, export.head.tier) == (3, "raw")
    assert [block.host for block in blocks] == ["a", "b", "c"]
    assert blocks[-1].done == pytest.approx(1.0)
    for block in blocks:
        assert block.times_ms() == [begin_ms + second * 1000 for second in range(120)]
        assert block.values_of(0) == [LEVELS[block.host] + second / 10_000 for second in range(120)]


async def test_an_export_is_awaited_block_by_block(server: ServerThread, begin_ms: int) -> None:
    """The async client iterates, and may leave early."""
    async with AsyncClient(server.url, token=server.token) as fleet:
        async with await fleet.metrics.export("*", since=begin_ms, until=begin_ms + 120_000) as export:
            async for block in export:
                assert len(block.series) == 6
                break
        stepped = await fleet.metrics.export("net", since=begin_ms, until=begin_ms + 120_000, step="1m")
        found = [block async for block in stepped]
        assert [block.series[0].unit for block in found] == ["By/s"] * 3


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"metric": "nope"}, 404, "no metric 'nope'"),
        ({"selector": "nobody-*"}, 404, "No host matches"),
        ({"aggregation": "max"}, 400, "needs a step"),
        ({"end_ms": 1}, 400, "ends before it starts"),
        ({"format": "xlsx"}, 400, "format"),
    ],
)
def test_bad_exports_are_problems_before_they_begin(
    server: ServerThread, begin_ms: int, params: dict[str, Any], status: int, words: str
) -> None:
    """Nothing is sent of what cannot be."""
    answer = server.http.get("/api/v1/metrics/export", params={"metric": "cpu", "start_ms": begin_ms, **params})
    assert (answer.status_code, words in answer.text) == (status, True)


def test_the_server_writes_text_itself(server: ServerThread, begin_ms: int) -> None:
    """NDJSON and CSV for whoever has no client of ours."""
    params: dict[str, str | int] = {"metric": "cpu", "start_ms": begin_ms, "end_ms": begin_ms + 120_000}
    lines = server.http.get("/api/v1/metrics/export", params={**params, "format": "ndjson"}).text.splitlines()
    assert [(one["host"], len(one["values"])) for one in map(json.loads, lines)] == [("a", 120), ("b", 120), ("c", 120)]
    answer = server.http.get("/api/v1/metrics/export", params={**params, "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 360


@pytest.fixture
def command(server: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin_ms: int) -> list[str]:
    """The start and the end of an export's command line."""
    monkeypatch.setenv("CYBERCORP_TOKEN", server.token)
    monkeypatch.chdir(tmp_path)
    return ["--url", server.url, "metrics", "export", "--since", iso_time(begin_ms), "--until", "now"]


def test_files_of_every_format_hold_the_same(command: list[str], tmp_path: Path) -> None:
    """CSV, NDJSON, Parquet and SQLite: 360 values of the CPU, and nothing half-made beside them."""
    for name in ("x.csv", "x.ndjson", "x.parquet", "x.db"):
        assert run([*command, name, "cpu"]) == 0
    with (tmp_path / "x.csv").open(newline="") as file:
        values = sorted(float(row["value"]) for row in csv.DictReader(file))
    assert len(values) == 360
    lines = [json.loads(line) for line in (tmp_path / "x.ndjson").read_text().splitlines()]
    assert sorted(itertools.chain.from_iterable(one["values"] for one in lines)) == values
    table = pq.read_table(tmp_path / "x.parquet")
    assert sorted(table["value"].to_pylist()) == values
    with sqlite3.connect(tmp_path / "x.db") as database:
        rows = database.execute("SELECT host, metric, value FROM readable").fetchall()
        assert sorted(value for _, _, value in rows) == values
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert {labels for (labels,) in database.execute("SELECT labels FROM hosts")} == {
            '{"env": "prod"}',
            '{"env": "dev"}',
        }
    database.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.csv", "x.db", "x.ndjson", "x.parquet"]


def test_a_file_is_replaced_only_when_asked(command: list[str], tmp_path: Path, capsys: Any) -> None:
    """An existing file stays; --force replaces it as a whole."""
    (tmp_path / "x.csv").write_text("mine")
    assert run([*command, "x.csv", "cpu"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "x.csv").read_text() == "mine"
    assert run([*command, "x.csv", "cpu", "--force"]) == 0
    assert (tmp_path / "x.csv").read_text().startswith("time,host")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), StorageError("The disk is gone.", hint="Mend it.")])
def test_what_breaks_off_leaves_nothing(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """Ctrl-C and errors in the middle: no file, no part of one, and what was there before is untouched."""

    def fail(self: object, block: object) -> int:
        raise failure

    monkeypatch.setattr(TextWriter, "write", fail)
    monkeypatch.setattr(SqliteFile, "write", fail)
    (tmp_path / "y.csv").write_text("mine")
    for name in ("x.csv", "x.db", "y.csv"):
        assert run([*command, name, "cpu", "--force"]) != 0
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("y.csv", "mine")]


def test_an_error_of_the_store_reaches_the_client(
    server: ServerThread, fleet: Client, begin_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong after the first byte is told by a frame, with its own class and words."""

    def fail(*_: object) -> None:
        raise StorageError("The disk is gone.", hint="Mend it.")

    monkeypatch.setattr(server.services.store, "samples", fail)
    with pytest.raises(StorageError, match="The disk is gone"):
        list(fleet.metrics.export("cpu", since=begin_ms))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.xyz"], "does not tell a format"),
        (["-", "--format", "parquet"], "cannot be written to stdout"),
        (["x.csv", "--agg", "max"], "--agg needs a --step"),
        (["no/such/folder/x.csv"], "No such file"),
        (["x.csv", "nope"], "no metric 'nope'"),
    ],
)
def test_bad_command_lines_say_so_in_one_line(
    command: list[str], capsys: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """An error, a hint, and no file."""
    assert run([*command, *arguments]) != 0
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_parquet_names_what_to_install(
    command: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named; the other formats need none."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run([*command, "x.parquet", "cpu"]) == 2
    assert "cybercorp[parquet]" in capsys.readouterr().err


def test_unknown_hosts_are_errors(fleet: Client) -> None:
    """The library raises what the service raised."""
    with pytest.raises(NotFoundError):
        fleet.metrics.export("cpu", hosts="nobody")
    with pytest.raises(CyberCorpError):
        fleet.metrics.export("cpu", since="1h", step="0s")
