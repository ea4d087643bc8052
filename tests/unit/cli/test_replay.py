"""Promises of `cybercorp replay` and `cybercorp export` that need no server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cybercorp.cli.launch.replay import ReplayPlan
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.recordings import (
    Frame,
    FrameWriter,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
    SamplesBlock,
)
from cybercorp.server.services.recorded_blocks import pack_samples
from tests.unit.cli.conftest import HOSTILE, NOW_MS, Fleet

START = NOW_MS - 86_400_000
CATALOGUE = make_catalogue([Series(name="system.cpu.utilization")])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten seconds of one host with a hostile name of its system."""
    writer = FrameWriter()
    size, data = pack_samples(np.arange(START, START + 10_000, 1000), np.full((10, 1), 0.5))
    frames: list[Frame] = [
        Manifest(
            made_by=HOSTILE, made_at_ms=START + 60_000, since_ms=START, until_ms=START + 9_000, lead_ms=0, hosts=1
        ),
        RecordedHost(
            number=1, id="h1", name=HOSTILE, labels={}, facts=HostFacts(os_description=HOSTILE), joined_at_ms=START
        ),
        RecordedCatalogue(number=1, id=CATALOGUE.id, series=CATALOGUE.series),
        SamplesBlock(host=1, catalogue=1, rows=10, size=size, data=data),
    ]
    path = tmp_path / "incident.ccrec"
    end = writer.begin() + b"".join(map(writer.frame, frames))
    path.write_bytes(end + writer.end(rows=10, samples=10, tables=0, events=0))
    return path


def test_info_says_what_a_file_holds(fleet: Fleet, recording: Path) -> None:
    """For people a line for each number, for programs one record; foreign text reaches no terminal as it is."""
    shown = fleet.run("replay", str(recording), "--info")
    assert shown.code == 0
    assert "10 of 1 series" in shown.out
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    record = fleet.run("replay", str(recording), "--info", "-o", "json").json
    assert (record["samples"], record["rows"], len(record["hosts"])) == (10, 10, 1)
    assert record["since"].startswith("20")


def test_an_unusable_file_says_so_in_two_lines(fleet: Fleet, recording: Path, tmp_path: Path) -> None:
    """Missing, another kind of file, cut short, of a later version: error, hint, and the right exit code."""
    cut, later, other = tmp_path / "cut", tmp_path / "later", tmp_path / "other"
    data = recording.read_bytes()
    cut.write_bytes(data[:-50])
    later.write_bytes(data[:6] + b"\x09\x00" + data[8:])
    other.write_bytes(b"PK\x03\x04")
    for path, words, code in (
        (tmp_path / "none", "cannot be read", 2),
        (cut, "damaged", 1),
        (later, "format 9", 1),
        (other, "no CyberCorp recording", 1),
    ):
        shown = fleet.run("replay", str(path), "--info")
        assert (shown.code, words in shown.err, "hint: " in shown.err) == (code, True, True), shown


def test_replay_needs_an_instant_or_a_file(fleet: Fleet, recording: Path) -> None:
    """Nothing at all, `--info` of nothing, an instant in the future or outside the recording: usage errors."""
    for arguments, words in (
        ((), "Neither an instant nor a recording"),
        (("--info",), "No recording was named"),
        (("--at", "2099-01-01"), "lies in the future"),
        ((str(recording), "--at", "2h"), "outside the recording"),
    ):
        shown = fleet.run("replay", *arguments)
        assert (shown.code, words in shown.err) == (2, True), shown


def test_replay_needs_a_terminal(fleet: Fleet, recording: Path) -> None:
    """On a pipe it says what scripts use instead."""
    for arguments in ((str(recording),), ("--at", "3m ago")):
        shown = fleet.run("replay", *arguments)
        assert (shown.code, "needs a terminal" in shown.err) == (2, True), shown


def test_export_asks_which_host_is_meant(fleet: Fleet) -> None:
    """With several hosts none is guessed, and the span must go forwards."""
    shown = fleet.run("export", "incident")
    assert (shown.code, "No host was named" in shown.err) == (2, True)
    shown = fleet.run("export", "incident", "--host", "web-1", "--from", "5m", "--to", "10m")
    assert (shown.code, "is not after" in shown.err) == (2, True)


def test_a_folder_with_a_servers_data_is_not_used(fleet: Fleet, recording: Path, tmp_path: Path) -> None:
    """`--data-dir` of a running server is refused before anything is written there."""
    (tmp_path / "samples.db").write_bytes(b"mine")
    shown = fleet.run("--data-dir", str(tmp_path), "replay", str(recording), "--headless")
    assert (shown.code, "holds the data of a server" in shown.err) == (2, True)
    assert (tmp_path / "samples.db").read_bytes() == b"mine"


def test_the_plan_names_one_file() -> None:
    """What is opened is said completely by the plan."""
    plan = ReplayPlan(path=Path("/x"), at_ms=1, since_ms=1, until_ms=2, rows=3)
    assert (plan.headless, plan.folder, plan.port) == (False, None, 0)
