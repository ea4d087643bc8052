"""What somebody may, and where."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.permissions import OF_EVERYBODY, SHIPPED_ROLES, Permission
from cybercorp.protocol.roles import parse_scope
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.policy import AGENT, NOBODY, OWNER, Grant, Rights
from cybercorp.store.records.hosts import HostRow

PROD, DEV = {"env": "prod"}, {"env": "dev"}
VIEWER, OPERATOR, ADMIN = (SHIPPED_ROLES[name][1] for name in ("viewer", "operator", "admin"))
SEES, EDITS, GRANTS = Permission.HOSTS_VIEW, Permission.HOSTS_EDIT, Permission.ROLES_ADMIN


def grant(permissions: frozenset[Permission], scope: str = "", **more: Any) -> Grant:
    return Grant(permissions, parse_scope(scope) if scope else None, **more)


def test_the_fixed_ones() -> None:
    """The owner has all that is no agent's, an agent only that, nobody nothing."""
    for permission in Permission:
        of_agent = permission is Permission.AGENT_CONNECT
        assert OWNER.everywhere(permission) != of_agent
        assert AGENT.everywhere(permission) == of_agent
        assert not NOBODY.allows(permission)


def test_a_scope() -> None:
    """It holds on hosts with the labels; what is not of a host it does not give at all."""
    rights = Rights([grant(OPERATOR, "env=prod")])
    assert rights.allows_labels(EDITS, PROD)
    assert not rights.allows_labels(EDITS, DEV)
    assert not rights.allows_labels(EDITS, {})
    assert rights.allows(EDITS)
    assert not rights.everywhere(EDITS)
    assert not rights.allows(Permission.AGENT_ENROL)


def test_a_denial_wins() -> None:
    """Whatever is allowed, in whatever order; elsewhere the rest stays."""
    rights = Rights([grant(ADMIN), grant(VIEWER, "env=prod")], [grant(VIEWER, "env=prod")])
    assert not rights.allows_labels(SEES, PROD)
    assert rights.allows_labels(SEES, DEV)
    assert not rights.everywhere(SEES)
    assert rights.everywhere(EDITS)
    assert not Rights([grant(ADMIN)], [grant(ADMIN)]).permissions()


def test_a_denial_of_some_hosts_shuts_nobody_out() -> None:
    """One's own account stays; rights over others do not."""
    rights = Rights([grant(ADMIN)], [grant(ADMIN, "env=prod")])
    assert all(rights.allows(one) for one in OF_EVERYBODY)
    assert not rights.allows(GRANTS)
    assert not rights.allows(Permission.AGENT_ENROL)


def test_time() -> None:
    """Begins and ends to the millisecond, without anything being loaded."""
    clock = ManualClock()
    now_ms = clock.now_ms()
    rights = Rights([grant(VIEWER, starts_at_ms=now_ms + 1_000, expires_at_ms=now_ms + 2_000)], clock=clock)
    seen = []
    for _ in range(3):
        seen.append((rights.allows(SEES), rights.everywhere(SEES), rights.allows_labels(SEES, PROD)))
        clock.advance(1)
    assert seen == [(False,) * 3, (True,) * 3, (False,) * 3]


def test_bounds() -> None:
    """What a token may is in its bounds and what its owner may, never more than either."""
    rights = Rights([grant(OPERATOR, "env=prod")]).bounded(grant(ADMIN))
    assert not rights.allows_labels(EDITS, DEV)
    looks = Rights([grant(ADMIN)]).bounded(grant(VIEWER, "env=dev"))
    assert (looks.allows_labels(SEES, DEV), looks.allows_labels(SEES, PROD)) == (True, False)
    assert not looks.allows_labels(EDITS, DEV)
    assert not looks.everywhere(SEES)
    assert not looks.covers(SEES, None, 0)


@pytest.mark.parametrize(
    ("scope", "covered"),
    [("env=prod", True), ("env=prod team=core", True), ("env=dev", False), ("team=core", False), ("", False)],
)
def test_what_one_may_give(scope: str, covered: bool) -> None:
    """A scope that means no host beyond one's own."""
    rights = Rights([grant(VIEWER, "env=prod")])
    assert rights.covers(SEES, parse_scope(scope) if scope else None, None) == covered


def test_nobody_gives_for_longer_than_they_have() -> None:
    """An admin for an hour cannot make one for ever, of themselves or of others."""
    clock = ManualClock()
    ends_ms = clock.now_ms() + 3_600_000
    rights = Rights([grant(ADMIN, expires_at_ms=ends_ms)], clock=clock)
    assert rights.covers(GRANTS, None, ends_ms)
    assert not rights.covers(GRANTS, None, ends_ms + 1)
    assert not rights.covers(GRANTS, None, None)
    assert Rights([grant(ADMIN, expires_at_ms=ends_ms), grant(ADMIN)], clock=clock).covers(GRANTS, None, None)


def test_who_is_denied_something_gives_nothing_of_it() -> None:
    """Anywhere, not even where the denial does not reach."""
    rights = Rights([grant(ADMIN)], [grant(VIEWER, "env=prod")])
    assert not rights.covers(SEES, parse_scope("env=dev"), None)
    assert rights.covers(EDITS, None, None)


def named(number: int) -> HostRow:
    return HostRow(key=number, id=f"host_{number}", name=f"h{number}", labels={}, facts=HostFacts(), joined_at_ms=0)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([{}, PROD, DEV]), st.integers(0, 40)), max_size=30))
def test_what_is_remembered_is_what_holds_now(steps: list[tuple[int, dict[str, str], int]]) -> None:
    """Labels change, grants begin and end: what was decided before is never told where it holds no more."""
    clock = ManualClock()
    start = clock.now_ms()
    allowed = [
        grant(VIEWER, "env=prod", starts_at_ms=start + 30_000, expires_at_ms=start + 90_000),
        grant(VIEWER, "env=dev", expires_at_ms=start + 60_000),
    ]
    denied = [grant(VIEWER, "env=prod", starts_at_ms=start + 80_000)]
    rights = Rights(allowed, denied, clock)
    hosts = [LiveHost(named(number)) for number in range(4)]
    for number, labels, seconds in steps:
        hosts[number].row = msgspec.structs.replace(hosts[number].row, labels=dict(labels))
        clock.advance(seconds)
        fresh = Rights(allowed, denied, clock)
        assert rights.visible(SEES, hosts) == [one for one in hosts if fresh.allows_labels(SEES, one.row.labels)]
        assert rights.allows(SEES, hosts[number]) == fresh.allows_labels(SEES, labels)
        assert rights.bounded(grant(VIEWER, "env=dev")) is rights.bounded(grant(VIEWER, "env=dev"))
