"""The small parts of the agent: gaps, log, lock, settings, tables."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cybercorp.agent.gaps import Gap, read_gap
from cybercorp.agent.lock import StateLock
from cybercorp.agent.log import Log, write_line
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.tables import TABLE_BYTES, fit_table
from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ConflictError, InvalidInputError, SettingsError
from cybercorp.core.settings import load_settings
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.credentials import AGENT_FILE


def test_a_gap_survives_its_record() -> None:
    """What is written into the event is read back exactly."""
    gap = Gap(first_seq=3, last_seq=9, from_ms=1, to_ms=7, count=7)
    record = gap.record()
    assert (record.seq, record.type) == (9, RecordType.EVENT)
    assert read_gap(record.type, record.body) == gap
    event = msgspec.msgpack.decode(record.body, type=AgentEvent)
    assert event.kind == EventKind.SAMPLES_DROPPED
    assert "7 records lost" in event.message


def test_what_is_no_gap_is_none() -> None:
    """Samples, other events, foreign bytes and half a report are not taken for one."""
    other = AgentEvent(kind=EventKind.AGENT_STARTED, severity=Severity.INFO, message="")
    half = AgentEvent(kind=EventKind.SAMPLES_DROPPED, severity=Severity.INFO, message="", attributes={"count": "x"})
    assert read_gap(RecordType.SAMPLES, Gap(first_seq=1, last_seq=1, from_ms=0, to_ms=0, count=1).record().body) is None
    for body in (msgspec.msgpack.encode(other), msgspec.msgpack.encode(half), b"\xc1", b""):
        assert read_gap(RecordType.EVENT, body) is None


def test_the_log_never_storms() -> None:
    """A thousand failures in ten seconds are one line; the next one says how many were held back."""
    clock = ManualClock()
    lines: list[str] = []
    log = Log(clock, lines.append)
    for _ in range(1000):
        log.limited("disk", "full")
        clock.advance(0.009)
    assert len(lines) == 1
    clock.advance(2)
    log.limited("disk", "full")
    assert "999 such lines held back" in lines[1]
    log.limited("other", "thing")
    assert len(lines) == 3


def test_a_log_line_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Foreign text in a message cannot forge a second line or reach the terminal."""
    Log(ManualClock(), write_line).line("name\n2026 forged\x1b[2J \ud800")
    text = capfd.readouterr().err
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_one_agent_per_folder(tmp_path: Path) -> None:
    """The second one is told who holds the folder; when the first one is killed, the folder is free."""
    script = (
        "import sys; from pathlib import Path; from cybercorp.agent.lock import StateLock; "
        f"lock = StateLock(Path({str(tmp_path)!r})); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConflictError, match=rf"pid {process.pid}") as caught:
            StateLock(tmp_path)
        assert caught.value.error_code == "agent_running"
        assert "--name" in caught.value.hint
        process.kill()
    lock = StateLock(tmp_path)
    assert (tmp_path / "agent.lock").read_text().strip() == str(os.getpid())
    lock.release()


def test_agents_of_different_names_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet on one machine: no two share a state folder, and no name leaves the data folder."""
    monkeypatch.setenv("CYBERCORP_DATA_DIR", str(tmp_path))
    names = ["web-1", "web-2", "../../etc", "..", ".hidden", "a/b", "ünï", "A%2FB"]
    folders = {AgentSettings(name=name).state_path() for name in names}
    assert len(folders) == len(names)
    assert all(folder.resolve().parent == (tmp_path / "agents").resolve() for folder in folders)
    assert AgentSettings().state_path() == tmp_path / "agents" / "default"


def test_an_agent_that_joined_under_a_name_is_found_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`agent join … --name web-7`, then `agent run`: the only one that joined is meant."""
    monkeypatch.setenv("CYBERCORP_DATA_DIR", str(tmp_path))
    folder = AgentSettings(name="web-7").state_path()
    folder.mkdir(parents=True)
    (folder / AGENT_FILE).write_text("{}")
    assert AgentSettings().state_path() == folder
    second = AgentSettings(name="web-8").state_path()
    second.mkdir()
    (second / AGENT_FILE).write_text("{}")
    assert AgentSettings().state_path() == tmp_path / "agents" / "default"
    assert AgentSettings(state_dir=str(tmp_path / "x")).state_path() == tmp_path / "x"


def test_settings_are_read_from_everywhere(tmp_path: Path) -> None:
    """File, environment and flags, with the monitors' own table."""
    file = tmp_path / "agent.toml"
    file.write_text('interval_ms = 2000\nname = "a"\n[monitors.intervals_s]\nsensors = 30\n')
    made = load_settings(
        AgentSettings,
        program="agent",
        file=file,
        environ={"CYBERCORP_AGENT_NAME": "b", "CYBERCORP_AGENT_SPOOL_MAX_BYTES": "2000000"},
        overrides={"url": "http://h:1", "token": None},
    )
    made.check()
    assert (made.interval_ms, made.name, made.url, made.spool_max_bytes) == (2000, "b", "http://h:1", 2_000_000)
    assert made.monitors.intervals_s == {"sensors": 30}


@pytest.mark.parametrize(
    "values",
    [{"interval_ms": 10}, {"spool_max_bytes": 5}, {"top_processes": -1}, {"top_processes_interval_s": float("nan")}],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, float]) -> None:
    """Each names the setting and the range."""
    with pytest.raises(SettingsError, match=next(iter(values))):
        AgentSettings(**values).check()  # type: ignore[arg-type]


def test_a_name_that_no_host_may_have_is_refused() -> None:
    """The name is checked before anything is sent."""
    with pytest.raises(InvalidInputError):
        AgentSettings(name="a b").check()


def test_every_setting_is_described() -> None:
    """The reference page is made from the descriptions."""
    described = msgspec.inspect.type_info(AgentSettings)
    assert isinstance(described, msgspec.inspect.StructType)
    for field in described.fields:
        meta = field.type
        assert isinstance(meta, msgspec.inspect.Metadata), field.name
        assert (meta.extra_json_schema or {}).get("description"), field.name


def _table(rows: int, command: int) -> ProcessTable:
    return ProcessTable(
        timestamp_ms=1,
        total=rows,
        pid=list(range(rows)),
        parent=[1] * rows,
        name=["n"] * rows,
        command=["c" * command] * rows,
        user=["u"] * rows,
        state=["S"] * rows,
        cpu=[index / rows for index in range(rows)],
        cpu_time_s=[0.0] * rows,
        rss_bytes=[1] * rows,
        threads=[1] * rows,
        read_bytes=[None] * rows,
        write_bytes=[None] * rows,
        read_rate=[None] * rows,
        write_rate=[None] * rows,
        started_at_ms=[0] * rows,
    )


@pytest.mark.parametrize(("rows", "command"), [(0, 0), (300, 60), (3000, 500), (30_000, 4000), (2, 1_000_000)])
def test_a_table_fits_into_a_message(rows: int, command: int) -> None:
    """However many processes, however long their command lines; the busiest stay, and a cut table says so."""
    fitted = fit_table(_table(rows, command))
    assert len(msgspec.msgpack.encode(fitted)) <= TABLE_BYTES
    assert fitted.total == rows
    assert fitted.partial is (rows >= 3000 or command > 1000)
    if rows:
        assert fitted.pid[-1] == rows - 1
        assert fitted.pid == sorted(fitted.pid)
