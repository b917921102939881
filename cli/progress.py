"""Shows progress on standard error, in a way that other output does not tear."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from .common import tell

LINE_EVERY_S = 30.0
"""Where standard error is no terminal, a line is printed so often at most."""


class Progress:
    """Shows a bar with the time left on a terminal; elsewhere a line now and then.

    Lines that others print while it is shown (Ikomia's, warnings) go above the bar.
    """

    def __init__(self, title: str, unit: str, total: int = 0) -> None:
        """Prepares the bar.

        Args:
            title: What is being done, as in ``Segmenting``.
            unit: What is counted, in the singular.
            total: How many there are; 0 where that is not known.
        """
        self._title = title
        self._unit = unit
        self._total = total
        self._done = 0
        self._bar: Any = None
        self._task: Any = None
        self._next_line_s = time.monotonic() + LINE_EVERY_S

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if console.is_terminal and self._total != 1:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=self._total or None, note="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int) -> None:
        """Sets the total where it is known only now."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total or None)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Counts what is done.

        Args:
            count: How many more.
            note: Shown behind the bar.
        """
        self.update(self._done + count, note=note)

    def update(self, done: int, total: int = 0, note: str = "") -> None:
        """Sets how many are done, of how many.

        Args:
            done: How many are done.
            total: Of how many; 0 to leave it as it was.
            note: Shown behind the bar.
        """
        self._done = done
        if total:
            self._total = total
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=self._total or None, note=note, refresh=True
            )
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + LINE_EVERY_S
            of = f" of {self._total}" if self._total else ""
            tell(f"{self._title}: {done}{of} {self._unit}s {note}".rstrip())

    def tell(self, message: str) -> None:
        """Prints a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            tell(message)
