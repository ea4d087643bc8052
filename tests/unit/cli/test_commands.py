"""Every command against a fleet: what the server is asked, what is printed in each format, what the exit code says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]

from cybercorp.cli.commands.events import is_wanted
from cybercorp.cli.completions import complete_hosts, complete_metrics
from cybercorp.core.times import parse_time_ms
from cybercorp.protocol.events import Event, Severity
from tests.e2e.terminal_bytes import shapes
from tests.unit.cli.conftest import Fleet, host

LISTS = [["hosts"], ["metrics"], ["metrics", "query", "cpu"], ["ps", "web-1"], ["events"]]


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_every_list_prints_in_every_format(fleet: Fleet, command: list[str]) -> None:
    """Table, JSON, NDJSON, CSV and YAML: exit code 0, readable by their parsers, nothing on stderr."""
    for form in ("table", "json", "ndjson", "csv", "yaml"):
        shown = fleet.run(*command, "-o", form)
        assert (shown.code, shown.err) == (0, ""), form
        assert shapes(shown.out.encode()) == set()
        match form:
            case "json":
                assert json.loads(shown.out)
            case "ndjson":
                assert all(isinstance(json.loads(line), dict) for line in shown.out.splitlines())
            case "csv":
                rows = list(csv.reader(io.StringIO(shown.out)))
                assert len({len(row) for row in rows}) == 1
                assert len(rows) > 1
            case "yaml":
                assert yaml.safe_load(shown.out)
            case _:
                assert len(shown.out.splitlines()) > 1


def test_hosts_are_a_plain_table_on_a_pipe(fleet: Fleet) -> None:
    """One line a host, words for states, per cents for people, `-` for unknown."""
    lines = fleet.run("hosts").out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "STATE", "CPU", "MEM"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["db-1", "offline", "-"],
        ["web-1", "online", "87%"],
        ["web-2", "online", "2.0%"],
    ]


def test_hosts_for_programs_are_exact_and_whole(fleet: Fleet) -> None:
    """JSON has raw numbers, ISO times, labels as objects, and the facts that the table has no room for."""
    web = fleet.run("hosts", "-o", "json").json[1]
    assert web["cpu"] == 0.87
    assert web["labels"] == {"env": "prod"}
    assert web["joined_at"] == "2027-01-15T08:00:00.000Z"
    assert web["os"] == "Debian 12"
    assert web["memory_bytes"] == 8 << 30


def test_selectors_sort_and_limit_are_the_servers(fleet: Fleet) -> None:
    """What selects and sorts is sent, so that a fleet of ten thousand is not fetched to show ten."""
    shown = fleet.run("hosts", "web-*", "--sort", "cpu", "--descending", "--limit", "10")
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == ["web-1", "web-2"]
    [asked] = fleet.asked()
    assert ("selector", "web-*") in asked.query
    assert {("sort", "cpu"), ("descending", "true"), ("limit", "10")} <= set(asked.query)


def test_a_large_fleet_is_listed_to_its_end(fleet: Fleet) -> None:
    """More hosts than a page: all of them, once each; --limit stops where it says."""
    fleet.hosts = [host(f"n{number:04}", 0.1) for number in range(1100)]
    rows = fleet.run("hosts", "-o", "json").json
    assert [row["name"] for row in rows] == [f"n{number:04}" for number in range(1100)]
    assert len(fleet.asked()) == 3
    assert len(fleet.run("hosts", "--limit", "600", "-o", "json").json) == 600


def test_nothing_found_is_said_on_stderr(fleet: Fleet) -> None:
    """An empty table is words for people, an empty array for programs."""
    shown = fleet.run("hosts", "nosuch-*")
    assert (shown.code, shown.out) == (0, "")
    assert "No host matches nosuch-*." in shown.err
    assert fleet.run("hosts", "nosuch-*", "-o", "json").json == []


def test_a_fleet_without_hosts_says_how_to_add_one(fleet: Fleet) -> None:
    """The first look at an empty server names the next step."""
    fleet.hosts = []
    assert "cybercorp enroll" in fleet.run("hosts").err


def test_one_host_is_shown_with_everything(fleet: Fleet) -> None:
    """A line for each value; JSON is one object; an unknown name is exit 1 with the nearest."""
    shown = fleet.run("hosts", "show", "web-1")
    assert "MEMORY" in shown.out
    assert "8.0 GiB" in shown.out
    assert fleet.run("hosts", "show", "web-1", "-o", "json").json["name"] == "web-1"
    missing = fleet.run("hosts", "show", "web-9")
    assert missing.code == 1
    assert "Did you mean 'web-1'?" in missing.err


def test_labels_are_set_and_removed(fleet: Fleet) -> None:
    """`key=value` sets, `key-` removes, for every host of the selector."""
    shown = fleet.run("hosts", "label", "web-*", "team=shop", "env-")
    assert shown.code == 0
    assert shown.out.splitlines() == ["web-1: team=shop", "web-2: team=shop"]
    assert len(fleet.asked("PATCH")) == 2
    assert fleet.run("hosts", "label", "--all", "x=y").out.count("x=y") == 3


def test_a_host_is_renamed(fleet: Fleet) -> None:
    """The new name is confirmed."""
    assert fleet.run("hosts", "rename", "web-1", "shop-1").out == "web-1 is now shop-1.\n"


def test_removing_asks_first(fleet: Fleet) -> None:
    """Without a terminal nothing is removed unless --yes says so; --yes removes exactly the selection."""
    refused = fleet.run("hosts", "remove", "web-*")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert not fleet.asked("DELETE")
    assert fleet.run("hosts", "remove", "web-*", "--yes").out == "web-1 is removed.\nweb-2 is removed.\n"
    assert len(fleet.hosts) == 1
    assert fleet.run("hosts", "remove").code == 2


def test_metrics_show_some_values_of_each_attribute(fleet: Fleet) -> None:
    """A hundred devices do not fill the screen; programs get all."""
    assert "device=sda,sdb,sdc,sdd,… direction=read,write" in fleet.run("metrics").out
    assert fleet.run("metrics", "-o", "json").json[1]["attributes"]["device"][-1] == "sde"
    assert fleet.run("metrics", "cpu").out.count("system.") == 1
    assert fleet.run("metrics", "system.disk.*", "-o", "json").json[0]["name"] == "system.disk.io"


def test_a_query_on_a_pipe_is_a_table_of_points(fleet: Fleet) -> None:
    """Time, host, metric and value; unknown is `-`."""
    lines = fleet.run("metrics", "query", "cpu").out.splitlines()
    assert lines[0].split() == ["TIME", "HOST", "METRIC", "VALUE"]
    assert [line.split()[-1] for line in lines[1:5]] == ["10%", "50%", "-", "90%"]


def test_a_query_for_programs_is_the_answer_of_the_api(fleet: Fleet) -> None:
    """`-o json` holds start, step and one array of values a series."""
    answer = fleet.run("metrics", "query", "cpu", "-o", "json").json
    assert answer["start_ms"] == 1_800_000_000_000
    assert answer["step_ms"] == 5000
    assert answer["series"][0]["values"] == [0.1, 0.5, None, 0.9]


def test_a_query_sends_what_was_asked(fleet: Fleet) -> None:
    """Span, step, percentile and hosts reach the server."""
    shown = fleet.run(
        "metrics", "query", "cpu", "mem", "--since", "2027-01-01T00:00:00Z", "--until", "2027-01-01T01:00:00Z",
        "--step", "10s", "--agg", "p95", "--hosts", "web-*", "--hosts", "env=prod",
    )  # fmt: skip
    if parse_time_ms("2027-01-01T00:00:00Z", now_ms=0) > parse_time_ms("now", now_ms=_now_ms()):
        assert shown.code == 2  # before 2027 that span lies in the future
        return
    [asked] = fleet.asked()
    assert {("metric", "cpu"), ("metric", "mem"), ("step_ms", "10000"), ("aggregation", "quantile")} <= set(asked.query)
    assert ("quantile", "0.95") in asked.query


def _now_ms() -> int:
    from cybercorp.core.clock import SystemClock

    return SystemClock().now_ms()


def test_a_query_with_a_size_is_a_plot(fleet: Fleet) -> None:
    """--width draws also on a pipe: title, axes, both hosts in the legend with figures."""
    shown = fleet.run("metrics", "query", "cpu", "--width", "80", "--height", "20")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith("system.cpu.utilization · avg per 5s · 2 hosts")
    assert any("100% ┤" in line for line in lines)
    assert lines[-2].split() == ["a", "web-1", "10%", "50%", "90%", "90%"]
    assert lines[-1].split() == ["b", "web-2", "20%", "20%", "20%", "20%"]
    assert shapes(shown.out.encode()) == set()


def test_a_young_history_is_drawn_from_its_beginning(fleet: Fleet) -> None:
    """Where more than half of the span is from before the first sample, the plot starts there, with a finer step."""
    fleet.series = [fleet.points("web-1", [None] * 80 + [0.5] * 20)]
    now_ms = _now_ms()
    fleet.start_ms, fleet.points_count = now_ms - 500_000, 100
    assert fleet.run("metrics", "query", "cpu", "--since", "500s", "--width", "80").code == 0
    first, second = fleet.asked()
    assert int(dict(second.query)["start_ms"]) - int(dict(first.query)["start_ms"]) == pytest.approx(
        400_000, abs=60_000
    )


def test_many_series_are_cut_and_said_so(fleet: Fleet) -> None:
    """Ten curves at most, those with the highest values; what is left out is said."""
    fleet.series = [fleet.points("web-1", [n / 100] * 4, cpu=str(n)) for n in range(40)]
    shown = fleet.run("metrics", "query", "cores", "--width", "80")
    assert "The 10 highest of 40 series are drawn" in shown.err
    assert "cpu=39" in shown.out
    assert "cpu=29" not in shown.out


def test_an_empty_answer_says_why(fleet: Fleet) -> None:
    """No such host, no such metric, or nothing in that span: each in its own words, exit 1; programs get the answer."""
    fleet.series = []
    assert "No values between" in (shown := fleet.run("metrics", "query", "cpu")).err
    assert shown.code == 1
    assert (
        "has the metric 'system.cpu.utilisation'. Did you mean"
        in fleet.run("metrics", "query", "system.cpu.utilisation").err
    )
    assert "No host matches nosuch." in fleet.run("metrics", "query", "cpu", "--hosts", "nosuch").err
    assert fleet.run("metrics", "query", "cpu", "-o", "json").json["series"] == []


def test_processes_are_sorted_and_safe(fleet: Fleet) -> None:
    """The busiest first; a hostile command line is spelled out; programs get the exact text, escaped."""
    lines = fleet.run("ps", "web-1").out.splitlines()
    assert lines[1].split()[:5] == ["20", "shop", "R", "150.0%", "1.0"]
    assert "\\x1b]0;PWN\\x07\\u202e" in lines[1]
    assert lines[2].split()[0] == "1"
    rows = fleet.run("ps", "web-1", "-o", "json").json
    assert rows[0]["command"] == "evil\x1b]0;PWN\x07\u202e"
    assert rows[0]["host"] == "web-1"


def test_processes_as_a_tree_and_cut(fleet: Fleet) -> None:
    """Children stand under their parents; --limit cuts."""
    lines = fleet.run("ps", "web-1", "--tree").out.splitlines()
    assert "└─ evil" in lines[2]
    assert len(fleet.run("ps", "web-1", "--limit", "1").out.splitlines()) == 2


def test_processes_of_several_hosts_have_a_host_column(fleet: Fleet) -> None:
    """A glob asks each host; the only host of a fleet need not be named."""
    shown = fleet.run("ps", "web-*")
    assert shown.out.splitlines()[0].split()[0] == "HOST"
    assert {line.split()[0] for line in shown.out.splitlines()[1:]} == {"web-1", "web-2"}
    assert fleet.run("ps").code == 2
    fleet.hosts = fleet.hosts[:1]
    assert fleet.run("ps").code == 0


def test_processes_of_the_past_are_asked_for_by_time(fleet: Fleet) -> None:
    """--at becomes the instant."""
    assert fleet.run("ps", "web-1", "--at", "3m ago").code == 0
    [asked] = fleet.asked()
    assert abs(int(dict(asked.query)["at_ms"]) - (_now_ms() - 180_000)) < 60_000


def test_events_are_the_newest_and_oldest_first(fleet: Fleet) -> None:
    """The last events stand at the end, as in a log."""
    lines = fleet.run("events", "--limit", "2").out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["2", "3"]
    [asked] = fleet.asked()
    assert ("newest", "true") in asked.query


def test_events_of_a_span_are_paged_through(fleet: Fleet) -> None:
    """More events than a page holds are all listed."""
    fleet.events = [msgspec.structs.replace(fleet.events[0], id=n) for n in range(1, 1201)]
    rows = fleet.run("events", "--since", "1h", "-o", "json").json
    assert [row["id"] for row in rows] == list(range(1, 1201))
    assert len(fleet.asked()) == 3


def test_a_noun_of_events_means_all_its_kinds(fleet: Fleet) -> None:
    """`--kind host` asks for host.joined, host.connected and the others."""
    fleet.run("events", "--kind", "host")
    kinds = [value for key, value in fleet.asked()[0].query if key == "kind"]
    assert "host.joined" in kinds
    assert all(kind.startswith("host.") for kind in kinds)


@pytest.mark.parametrize(
    ("kinds", "ids", "selectors", "wanted"),
    [
        ([], None, [], True),
        (["host.joined"], None, [], True),
        (["host.removed"], None, [], False),
        ([], {"h-web-9"}, ["env=prod"], True),
        ([], {"h-web-1"}, ["web-*"], True),
        ([], {"h-web-1"}, ["env=prod"], False),
    ],
)
def test_live_events_are_selected(kinds: list[str], ids: set[str] | None, selectors: list[str], wanted: bool) -> None:
    """By kind, by the hosts of the selection, and by a glob for hosts that join while one watches."""
    event = Event(
        id=1,
        time_ms=0,
        kind="host.joined",
        severity=Severity.INFO,
        message="",
        host_id="h-web-9",
        host="web-9",
    )
    assert is_wanted(event, kinds, ids, selectors) is wanted


def test_enroll_prints_one_line_to_paste(fleet: Fleet) -> None:
    """The command is on stdout alone, so that it can be piped; the explanation is on stderr."""
    shown = fleet.run("enroll", "--address", "http://ops:8765")
    assert shown.out == "CYBERCORP_TOKEN=cce_secret_0 cybercorp agent join http://ops:8765\n"
    assert "Paste this" in shown.err
    assert "this machine only" in fleet.run("enroll").err
    assert fleet.run("enroll", "--label", "env=prod", "-o", "json").json["token"].startswith("cce_")
    assert json.loads(fleet.asked("POST")[-1].body)["labels"] == {"env": "prod"}


def test_many_machines_have_a_line_each(fleet: Fleet, tmp_path: Path) -> None:
    """--count prints so many lines, or writes them into a file that nobody else reads; programs get a list."""
    shown = fleet.run("enroll", "--count", "3", "--address", "http://ops:8765")
    assert [line.split()[0] for line in shown.out.splitlines()] == [f"CYBERCORP_TOKEN=cce_secret_{n}" for n in range(3)]
    assert [row["token"] for row in fleet.run("enroll", "--count", "2", "-o", "json").json] == [
        "cce_secret_0",
        "cce_secret_1",
    ]
    kept = tmp_path / "lines"
    assert fleet.run("enroll", "--count", "3", "--address", "http://ops:8765", "--file", str(kept)).out == ""
    assert kept.read_text() == shown.out
    assert kept.stat().st_mode & 0o777 == 0o600
    again = fleet.run("enroll", "--file", str(kept))
    assert again.code != 0
    assert "exists already" in again.err


def test_a_token_to_join_never_stands_on_a_command_line(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the environment, a file or stdin; an option for it there is not; a wrong one is told."""
    assert fleet.run("agent", "join", "http://127.0.0.1:9", "--token", "cce_x").code == 2
    monkeypatch.setenv("CYBERCORP_TOKEN", "cce_typo")
    told = fleet.run("agent", "join", "http://127.0.0.1:9")
    assert (told.code, "a letter is wrong" in told.err) == (2, True)
    monkeypatch.delenv("CYBERCORP_TOKEN")
    monkeypatch.setattr("sys.stdin", io.StringIO("cce_typo\n"))
    assert "a letter is wrong" in fleet.run("agent", "join", "http://127.0.0.1:9", "--token-file", "-").err
    told = fleet.run("agent", "join", "http://127.0.0.1:9")
    assert "CYBERCORP_TOKEN" in told.err


def test_server_info_is_for_people_and_programs(fleet: Fleet) -> None:
    """Words with units, or exact numbers."""
    assert "1h 1m ago" in fleet.run("server").out
    assert fleet.run("server", "info", "-o", "json").json["samples_total"] == 1000


def test_server_info_of_a_part_of_the_hosts(fleet: Fleet) -> None:
    """What is told to those who see every host is unknown, not zero."""
    fleet.partial = True
    told = fleet.run("server", "info", "-o", "json").json
    assert (told["samples_total"], told["samples_per_second"], told["free_bytes"]) == (None, None, None)
    assert told["hosts"] == 3
    assert "since" in fleet.run("server").out


def test_the_shell_completes_names_of_hosts_and_metrics(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from the server; one that a terminal would obey is left out; a server that is away gives none."""
    fleet.hosts.append(host("web-\x1b[31m", 0.1))
    monkeypatch.setenv("CYBERCORP_URL", fleet.server.url)
    assert complete_hosts("web") == ["web-1", "web-2"]
    assert complete_metrics("c") == ["cpu", "cores"]
    assert complete_metrics("system.d") == ["system.disk.io"]
    monkeypatch.setenv("CYBERCORP_URL", "http://127.0.0.1:9")
    assert complete_hosts("web") == []
    assert complete_metrics("m") == ["mem"]


def test_a_token_file_is_used(fleet: Fleet, tmp_path: Path) -> None:
    """--token-file gives the bearer token, wherever it stands."""
    (tmp_path / "token").write_text("cco_abc_00000000\n")
    assert fleet.run("hosts", "--token-file", str(tmp_path / "token")).code == 0
    assert fleet.asked()[0].headers["authorization"] == "Bearer cco_abc_00000000"
