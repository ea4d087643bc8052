"""The command line against the real product: one machine, its own server and agent."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import subprocess
import time

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.terminal_bytes import shapes
from tests.stack import COMMAND, Stack, wait_until


def host_name(stack: Stack) -> str:
    return str(json.loads(stack.run("hosts", "-o", "json").stdout)[0]["name"])


def test_hosts_needs_less_than_400_ms(stack: Stack) -> None:
    """Interpreter, imports, request and table: the CPU time of the best of five, which other work does not stretch."""
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        stack.run("hosts")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.4


def test_the_numbers_of_hosts_are_this_machines(stack: Stack) -> None:
    """Memory in use agrees with what psutil reads on the same machine, within five points."""
    [host] = json.loads(stack.run("hosts", "-o", "json").stdout)
    assert host["state"] == "online"
    assert host["cpu_count"] == os.cpu_count()
    memory = psutil.virtual_memory()
    assert abs(host["memory"] - (memory.total - memory.available) / memory.total) < 0.05


def test_a_plot_is_drawn_in_a_terminal(stack: Stack) -> None:
    """`metrics query cpu` on a terminal: a title, an axis, braille and a legend, with no control but colours."""
    wait_until(
        lambda: "avg" in stack.run("metrics", "query", "cpu", "--width", "80", check=False).stdout, "two samples"
    )
    with Terminal([*COMMAND, "metrics", "query", "cpu", "--since", "5m"], stack.environment, columns=100) as terminal:
        terminal.wait_for("last")
        terminal.process.wait(10)
        assert "system.cpu.utilization" in terminal.text
        assert any("\u2800" < character <= "\u28ff" for character in terminal.text)
        assert "┤" in terminal.text


@pytest.mark.parametrize("metric", ["cpu", "cores", "mem", "disk", "io", "net", "load"])
def test_every_short_name_has_values(stack: Stack, metric: str) -> None:
    """Each alias of the README answers with numbers on a plain Linux machine."""

    def values() -> list[float]:
        answer = json.loads(stack.run("metrics", "query", metric, "-o", "json").stdout)
        return [value for one in answer["series"] for value in one["values"] if value is not None]

    assert wait_until(values, f"values of {metric}")


def test_a_query_feeds_scripts(stack: Stack) -> None:
    """JSON and CSV hold the same numbers."""
    wait_until(lambda: stack.run("metrics", "query", "mem", check=False).returncode == 0, "values")
    until = stack.run("metrics", "query", "mem", "--since", "10m", "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(until)))
    assert rows[0].keys() == {"time", "host", "metric", "value", "unit"}
    assert any(0 < float(row["value"]) < 1 for row in rows if row["value"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["metrics", "query", "nosuch.metric"], 1, "nosuch.metric"),
        (["metrics", "query", "cpu", "--hosts", "nosuch"], 1, "nosuch"),
        (["metrics", "query", "cpu", "--since", "2999-01-01"], 2, "future"),
        (["metrics", "query", "cpu", "--since", "14d", "--step", "1s"], 2, "step"),
        (["metrics", "query", "cpu", "--agg", "rate", "--step", "0s"], 2, "duration"),
        (["hosts", "show", "nosuch"], 1, "nosuch"),
        (["hosts", "cpu>>80"], 2, "selector"),
        (["ps", "nosuch"], 1, "nosuch"),
        (["hosts", "--profile", "nosuch"], 1, "profile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_a_clear_answer(stack: Stack, arguments: list[str], code: int, words: str) -> None:
    """One or two lines that name what was wrong; the promised exit code; nothing on stdout."""
    answer = stack.run(*arguments, check=False)
    assert (answer.returncode, answer.stdout) == (code, "")
    assert words in answer.stderr
    assert 1 <= len(answer.stderr.strip().splitlines()) <= 2


def test_a_wrong_token_is_exit_code_3(stack: Stack) -> None:
    """Access is refused in words."""
    answer = subprocess.run(
        [*COMMAND, "hosts", "--url", stack.url],
        env={**stack.environment, "CYBERCORP_TOKEN": "cco_wrong_00000000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert answer.returncode == 3
    assert answer.stdout == ""


def test_processes_now_hold_this_very_process(stack: Stack) -> None:
    """A live table names this test's own process with its state."""
    rows = json.loads(stack.run("ps", host_name(stack), "-o", "json").stdout)
    [own] = [row for row in rows if row["pid"] == os.getpid()]
    assert own["parent"] == os.getppid()
    assert own["rss_bytes"] > 1 << 20


def test_events_are_followed_until_ctrl_c(stack: Stack) -> None:
    """`events --follow` prints what is there, then what happens, each at once, and Ctrl-C ends it silently with 130."""
    process = subprocess.Popen(
        [*COMMAND, "events", "--follow", "-o", "ndjson"],
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        json.loads(process.stdout.readline())  # what is there
        label = f"t{time.monotonic_ns()}=1"
        stack.run("hosts", "label", host_name(stack), label)
        line = ""
        while "host.labelled" not in line:
            line = process.stdout.readline()
            assert line
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert (process.returncode, said) == (130, "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_cut_pipe_is_silent(stack: Stack) -> None:
    """`cybercorp … | head -1` prints one line and nothing on stderr."""
    command = " ".join([*COMMAND, "ps", host_name(stack), "-o", "ndjson"])
    answer = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"],
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert len(answer.stdout.splitlines()) == 1
    assert answer.stderr == ""
    assert answer.returncode in (0, 141)


def test_the_doctor_finds_everything_in_order(stack: Stack) -> None:
    """Each check is a line; nothing fails on a machine that runs; JSON for programs."""
    answer = stack.run("doctor", check=False)
    assert answer.returncode == 0, answer.stdout
    for check in ("python", "versions", "data", "database", "server", "clock", "port", "agent"):
        assert check in answer.stdout
    findings = json.loads(stack.run("doctor", "-o", "json").stdout)
    assert {one["verdict"] for one in findings} <= {"ok", "warning"}
    assert shapes(answer.stdout.encode()) == set()


def test_the_doctor_names_a_damaged_database(stack: Stack) -> None:
    """Exit 1, the file's name, and what to do."""
    folder = stack.folder / "damaged"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "samples.db").write_bytes(b"no database at all " * 100)
    answer = stack.run("doctor", "--data-dir", str(folder), check=False)
    assert answer.returncode == 1
    assert "samples.db" in answer.stdout
    checked = stack.run("server", "check", "--data-dir", str(folder), check=False)
    assert checked.returncode == 1
    assert "samples.db" in checked.stderr


def test_the_data_of_a_running_server_can_be_checked(stack: Stack) -> None:
    """`server check` says that all is well and disturbs nothing."""
    assert "in order" in stack.run("server", "check").stdout


def test_the_agent_of_this_machine_is_known(stack: Stack) -> None:
    """`agent` lists it with its process and server."""
    [agent] = json.loads(stack.run("agent", "-o", "json").stdout)
    assert agent["running"]
    assert agent["server"] == stack.url
    assert psutil.pid_exists(agent["pid"])


def test_a_second_agent_on_the_same_folder_is_refused(stack: Stack) -> None:
    """`agent run` beside the one of `up` says who has the folder."""
    answer = stack.run("agent", "run", check=False)
    assert answer.returncode == 1
    assert "already uses" in answer.stderr
