"""A progress bar on stderr for what takes longer than a second; silent where nobody looks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_S = 1.0


class _Bar:
    """Drawn once a second has passed; Rich is imported only then."""

    def __init__(self, label: str, unit: str) -> None:
        self._label = label
        self._unit = unit
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, done: int, expected: int) -> None:
        if self._progress is None:
            if time.monotonic() - self._began < _PATIENCE_S:
                return
            self._start()
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=max(expected, done) or None)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(self._unit),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(self._label, total=None)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextlib.contextmanager
def progress_bar(label: str, *, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """`with progress_bar("Exporting", unit="rows") as progress: progress(done, expected)`; it vanishes at the end."""
    if not sys.stderr.isatty():
        yield lambda done, expected: None
        return
    bar = _Bar(label, unit)
    try:
        yield bar
    finally:
        bar.stop()
