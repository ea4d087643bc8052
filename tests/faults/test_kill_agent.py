"""`kill -9` of a real agent, again and again (F2): what it wrote down arrives, once, under one number."""

import contextlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.agent.gaps import read_gap
from cybercorp.protocol.agents import RecordType
from tests.fakes.server import FakeServer
from tests.faults.agents import FaultyAgent

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="uses /proc"),
    pytest.mark.timeout(1800),
]


def more(server: FakeServer, count: int) -> None:
    """Wait for so many more records."""
    known = len(server.records)
    server.wait_for(lambda: len(server.records) > known + count)


@pytest.mark.slow
def test_a_killed_agent_leaves_no_hole(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """At random moments, with the server there and away: every number arrives, none twice with another meaning."""
    chance = random.Random(2)
    with FakeServer() as server, FaultyAgent(server.port, tmp_path / "state") as agent:
        for _ in range(times(5, 100)):
            away = chance.random() < 0.4
            if away:
                server.stop()
            else:
                more(server, chance.randrange(8))
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.process.wait(chance.uniform(0.1, 0.7))
            agent.kill()
            agent.start()
            if away:
                server.start()
        more(server, 10)
        agent.stop()
    stream = server.hellos[0].stream
    assert {hello.stream for hello in server.hellos} == {stream}
    numbers = server.sequence(stream)
    assert numbers == list(range(1, len(numbers) + 1))
    assert server.conflicts == []
    records = list(server.records.values())
    assert [gap for one in records if (gap := read_gap(one.type, one.body))] == []
    rows = Counter(one.timestamp_ms for one in records if one.type == RecordType.SAMPLES)
    assert max(rows.values()) == 1
