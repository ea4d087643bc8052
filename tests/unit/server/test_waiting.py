"""Who waits, in which row, and who goes when it is full."""

from functools import partial

from cybercorp.server.waiting import Waiting


def test_a_newcomer_is_turned_away_before_one_that_is_young() -> None:
    """Of those for which TLS has begun none is ended in its first second: a crowd that is honest gets through."""
    row = Waiting()
    ended: list[int] = []
    row._most_secured = 2
    first, second, third = (row.enter(partial(ended.append, number)) for number in range(3))
    assert row.secure(first, 10.0)
    assert row.secure(second, 10.5)
    assert not row.secure(third, 10.9)
    assert ended == []
    fourth = row.enter(partial(ended.append, 3))
    assert row.secure(fourth, 11.0)
    assert ended == [0]
    assert len(row) == 2
    for number in (first, second, third, fourth):
        row.leave(number)
    assert len(row) == 0
