"""F25: whatever is changed in an audit trail is found, and nothing is found in one that nobody changed."""

from __future__ import annotations

import random
import time

import pytest

from cybercorp.security.audit_chain import ChainCheck
from tests.attacks.audit_trails import KEYS, MUTATIONS, Mutation, Trail, make_trail


@pytest.mark.slow
def test_ten_thousand_clean_trails_raise_no_alarm() -> None:
    """Short and long, with a rotated copy, a crash before the copy, a clock that was set back, an unsigned tail."""
    alarms = []
    for seed in range(10_000):
        chance = random.Random(seed)
        found = make_trail(chance, 12).check().finding
        if found is not None:
            alarms.append((seed, found))
    assert alarms == []


def has_whole_copy(trail: Trail) -> bool:
    return len([line for line in trail.copy if line.record is not None]) == len(trail.rows)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.__name__.strip("_"))
def test_a_thousand_changes_are_all_found(mutation: Mutation) -> None:
    """Each kind 80 times (1,040 in all); the record that is blamed is not before the one that was changed."""
    missed = []
    for seed in range(80):
        chance = random.Random(seed)
        trail = make_trail(chance, 40, least=12)
        while not trail.checkpoints or not has_whole_copy(trail):
            trail = make_trail(chance, 40, least=12)
        at = chance.randrange(len(trail.rows))
        mutation(trail, at, chance)
        found = trail.check().finding
        if found is None:
            missed.append(seed)
        elif "copy" not in mutation.__name__ and "sign" not in mutation.__name__:
            assert found.record >= min(at, len(trail.rows)) - 1, f"seed {seed}: {found} is before {at + 1}"
    assert missed == []


def test_two_hundred_thousand_records_a_second() -> None:
    """The check of the chain, of the CPU it takes; the best of three, for a machine that does other things as well."""
    trail = make_trail(random.Random(1), 20_000, least=20_000)
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        check = ChainCheck(trail.checkpoints, KEYS)
        assert check.take(trail.rows)
        best = max(best, len(trail.rows) / (time.process_time() - began))
    assert best >= 200_000
