"""Processes as a forest: children under their parents, orphans as roots, cycles cut. Functions of pid and parent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

_DRAWN_LEVELS = 12  # deeper rows show their depth as a number: a chain of 5,000 forks must not draw 5,000 lines


class TreeRow(NamedTuple):
    """One visible row of the forest. `guides` says for the upper ancestor levels whether a line runs on below them."""

    row: int
    depth: int
    guides: tuple[bool, ...]
    last: bool
    children: int
    collapsed: bool


def children_of(pids: Sequence[int], parents: Sequence[int]) -> tuple[list[int], dict[int, list[int]]]:
    """Roots and children by row number. A process is a root when its parent is not there, is itself, or is its own
    descendant (one link of such a cycle is cut)."""
    row_of = {pid: row for row, pid in enumerate(pids)}
    parent_row: list[int | None] = []
    for row, parent in enumerate(parents):
        found = row_of.get(parent)
        parent_row.append(None if found is None or found == row else found)
    _cut_cycles(parent_row)
    roots: list[int] = []
    children: dict[int, list[int]] = {}
    for row, above in enumerate(parent_row):
        if above is None:
            roots.append(row)
        else:
            children.setdefault(above, []).append(row)
    return roots, children


def _cut_cycles(parent_row: list[int | None]) -> None:
    """Walk up from every row once; a walk that meets itself has found a cycle, whose meeting row becomes a root."""
    done = [False] * len(parent_row)
    for start in range(len(parent_row)):
        path: set[int] = set()
        row: int | None = start
        while row is not None and not done[row]:
            if row in path:
                parent_row[row] = None
                break
            path.add(row)
            row = parent_row[row]
        for one in path:
            done[one] = True


def ancestors(row: int, pids: Sequence[int], parents: Sequence[int], *, limit: int = 64) -> list[int]:
    """The rows of the parent, its parent and so on; stops at a cycle."""
    row_of = {pid: one for one, pid in enumerate(pids)}
    chain: list[int] = []
    seen = {row}
    current = row_of.get(parents[row])
    while current is not None and current not in seen and len(chain) < limit:
        chain.append(current)
        seen.add(current)
        current = row_of.get(parents[current])
    return chain


def forest(
    pids: Sequence[int],
    parents: Sequence[int],
    *,
    sort_key: Callable[[int], tuple[float, ...] | tuple[str, float]],
    weight: Sequence[float] | None = None,
    heaviest_first: bool = True,
    keep: Collection[int] | None = None,
    collapsed: Collection[int] = (),
) -> list[TreeRow]:
    """The forest depth first. Siblings are ordered by `sort_key` of their row.

    `weight` is added up over each subtree and decides before `sort_key`; `keep` shows only these rows and
    their ancestors; `collapsed` rows hide their descendants.
    """
    roots, children = children_of(pids, parents)
    order = _preorder(roots, children)
    totals = list(weight) if weight is not None else None
    shown = set(keep) if keep is not None else None
    for row in reversed(order):
        for child in children.get(row, ()):
            if totals is not None:
                totals[row] += totals[child]
            if shown is not None and child in shown:
                shown.add(row)

    def arrange(rows: Iterable[int]) -> list[int]:
        visible = [row for row in rows if shown is None or row in shown]
        visible.sort(key=sort_key)
        if totals is not None:
            visible.sort(key=totals.__getitem__, reverse=heaviest_first)
        return visible

    result: list[TreeRow] = []
    top = arrange(roots)
    stack: list[tuple[int, int, tuple[bool, ...], bool]] = [(row, 0, (), row == top[-1]) for row in reversed(top)]
    while stack:
        row, depth, guides, last = stack.pop()
        below = arrange(children.get(row, ()))
        hidden = row in collapsed and bool(below)
        result.append(TreeRow(row, depth, guides, last, len(below), hidden))
        if not hidden:
            deeper = (*guides, not last) if depth < _DRAWN_LEVELS else guides
            stack.extend((child, depth + 1, deeper, child == below[-1]) for child in reversed(below))
    return result


def _preorder(roots: Sequence[int], children: dict[int, list[int]]) -> list[int]:
    order: list[int] = []
    stack = list(roots)
    while stack:
        row = stack.pop()
        order.append(row)
        stack.extend(children.get(row, ()))
    return order


def guide(one: TreeRow, *, ascii: bool = False) -> str:
    """The lines in front of a row's name: `│ ├─▸ `. Deep levels are shortened to their number."""
    line, tee, corner, dash = ("|", "|", "`", "-") if ascii else ("│", "├", "└", "─")
    if one.depth > _DRAWN_LEVELS:
        start = f"{'~' if ascii else '…'}{one.depth} "
    else:
        start = "".join(f"{line} " if runs_on else "  " for runs_on in one.guides[1:])
    if one.children:
        mark = ("+" if one.collapsed else "-") if ascii else ("▸" if one.collapsed else "▾")
    else:
        mark = dash if one.depth else ""
    if not one.depth:
        return f"{mark} " if mark else ""
    return f"{start}{corner if one.last else tee}{mark} "
