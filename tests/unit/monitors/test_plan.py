"""Token plans: what is read by position, and when that is refused."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.plan import TableReader, TokenPlan


def test_a_plan_reads_the_values_it_names_and_divides_them() -> None:
    """Values come in the order of the plan, divided so that decimals stay short."""
    plan = TokenPlan(4, {0: b"sda", 2: b"sdb"}, [(3, 1000.0), (1, 1.0)])
    tokens = [b"sda", b"5", b"sdb", b"31182"]
    assert plan.matches(tokens)
    assert list(plan.read(tokens)) == [31.182, 5.0]


@pytest.mark.parametrize(
    "tokens", [[b"sda", b"5", b"sdc", b"7"], [b"sda", b"5", b"sdb"], [], [b"sdb", b"5", b"sda", b"7"]]
)
def test_another_table_does_not_match(tokens: list[bytes]) -> None:
    """A device that came, went, or changed its place is noticed before a number is read."""
    assert not TokenPlan(4, {0: b"sda", 2: b"sdb"}, [(1, 1.0)]).matches(tokens)


@pytest.mark.parametrize("values", [[], [(1, 1.0)], [(1, 1.0), (1, 2.0)]])
def test_plans_of_no_one_and_two_values(values: list[tuple[int, float]]) -> None:
    """The number of values makes no difference to how a plan is used."""
    plan = TokenPlan(2, {0: b"a"}, values)
    row = array("d", [7.0, 7.0, 7.0, 7.0])
    assert plan.matches([b"a", b"8"])
    plan.write([b"a", b"8"], row, 1)
    assert list(row[1 : 1 + len(values)]) == [8.0 / divisor for _, divisor in values]
    assert len(row) == 4
    assert len(plan) == len(values)


def test_garbage_in_a_value_writes_nothing() -> None:
    """A token that is no number is an error before any slot is touched."""
    row = array("d", [1.0, 2.0])
    with pytest.raises(ValueError, match="could not convert"):
        TokenPlan(2, {}, [(0, 1.0), (1, 1.0)]).write([b"3", b"x"], row, 0)
    assert list(row) == [1.0, 2.0]


@given(st.lists(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=4), max_size=20))
def test_a_reader_knows_where_every_line_begins(lines: list[list[bytes]]) -> None:
    """Positions are those of the whole table split into tokens."""
    reader = TableReader()
    firsts = [reader.line(fields, 0) for fields in lines]
    tokens = [token for fields in lines for token in fields]
    assert reader.count == len(tokens)
    assert [tokens[first] for first in firsts] == [fields[0] for fields in lines]
    assert TokenPlan(reader.count, reader.names, []).matches(tokens)
