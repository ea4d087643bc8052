"""The process forest: every process once, whatever parents a hostile host claims."""

from __future__ import annotations

import random

from cybercorp.tui.state.processes_tree import TreeRow, ancestors, children_of, forest, guide


def rows(pids: list[int], parents: list[int], **options: object) -> list[TreeRow]:
    return forest(pids, parents, sort_key=lambda row: ("", float(pids[row])), **options)  # type: ignore[arg-type]


def shape(found: list[TreeRow], pids: list[int]) -> list[tuple[int, int]]:
    return [(one.depth, pids[one.row]) for one in found]


def test_children_stand_under_their_parents() -> None:
    """Depth first, siblings in order."""
    pids, parents = [1, 30, 20, 31], [0, 1, 1, 30]
    assert shape(rows(pids, parents), pids) == [(0, 1), (1, 20), (1, 30), (2, 31)]


def test_orphans_are_roots() -> None:
    """A process whose parent is not in the table is shown, at the top level."""
    pids, parents = [5, 6, 7], [999, 5, 998]
    assert shape(rows(pids, parents), pids) == [(0, 5), (1, 6), (0, 7)]


def test_a_process_that_is_its_own_parent_is_a_root() -> None:
    """pid 0 on some systems names itself."""
    pids, parents = [0, 1], [0, 0]
    assert shape(rows(pids, parents), pids) == [(0, 0), (1, 1)]


def test_cycles_are_cut_and_lose_nobody() -> None:
    """A→B→C→A shows all three once, and what hangs on the cycle too."""
    pids, parents = [1, 2, 3, 4], [3, 1, 2, 2]
    found = rows(pids, parents)
    assert sorted(pids[one.row] for one in found) == [1, 2, 3, 4]
    assert sum(one.depth == 0 for one in found) == 1


def test_any_parents_give_every_process_once() -> None:
    """Random parent links, with cycles and duplicates of pids, neither hang nor drop nor repeat a row."""
    chance = random.Random(7)
    for _ in range(200):
        count = chance.randint(1, 40)
        pids = [chance.randint(0, 30) for _ in range(count)]
        parents = [chance.randint(0, 30) for _ in range(count)]
        assert sorted(one.row for one in rows(pids, parents)) == list(range(count))


def test_a_chain_of_thousands_is_drawn_in_bounded_width() -> None:
    """A fork chain of 5,000 processes neither overflows a stack nor draws 5,000 guide lines."""
    pids = list(range(1, 5001))
    found = rows(pids, [pid - 1 for pid in pids])
    assert found[-1].depth == 4999
    assert max(len(guide(one)) for one in found) < 40


def test_the_heaviest_subtree_comes_first() -> None:
    """Siblings are ordered by what their whole subtree uses."""
    pids, parents = [1, 2, 3, 4], [0, 0, 1, 2]
    weight = [0.0, 0.5, 2.0, 0.1]
    assert shape(rows(pids, parents, weight=weight), pids) == [(0, 1), (1, 3), (0, 2), (1, 4)]
    lightest = rows(pids, parents, weight=weight, heaviest_first=False)
    assert shape(lightest, pids) == [(0, 2), (1, 4), (0, 1), (1, 3)]


def test_a_filter_keeps_the_ancestors() -> None:
    """What matches is shown with its way to the root, the rest is not."""
    pids, parents = [1, 2, 3, 4], [0, 1, 2, 1]
    assert shape(rows(pids, parents, keep={2}), pids) == [(0, 1), (1, 2), (2, 3)]


def test_a_folded_row_hides_its_descendants() -> None:
    """It says how many children it has and that it is folded."""
    pids, parents = [1, 2, 3], [0, 1, 2]
    found = rows(pids, parents, collapsed={0})
    assert shape(found, pids) == [(0, 1)]
    assert found[0].collapsed
    assert found[0].children == 1


def test_guides_draw_the_branches() -> None:
    """Lines run on where a sibling follows and end at the last child."""
    pids, parents = [1, 2, 3, 4], [0, 1, 2, 1]
    assert [guide(one) for one in rows(pids, parents)] == ["▾ ", "├▾ ", "│ └─ ", "└─ "]
    assert all(guide(one, ascii=True).isascii() for one in rows(pids, parents))


def test_ancestors_stop_at_a_cycle() -> None:
    """The parent chain of a process ends where it would repeat."""
    assert ancestors(0, [1, 2, 3], [2, 3, 1]) == [1, 2]
    assert ancestors(0, [1], [1]) == []
    assert children_of([1, 2], [2, 1])[0] != []
