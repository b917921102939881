"""What a run tells its host: warnings that are not repeated, and progress that adds up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

logger = logging.getLogger("infer_segment_anything_3")


class Notices:
    """Warnings, each given once until something changes.

    A video asks the same of every frame: what is wrong with it needs to be said once.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, messages: Iterable[str]) -> None:
        """Logs those messages that were not logged before."""
        for message in messages:
            if message not in self._said:
                self._said.add(message)
                logger.warning("%s", message)

    def forget(self) -> None:
        """Lets everything be said again."""
        self._said.clear()


class Progress:
    """Emits exactly as many steps as were announced, as they happen.

    What a prompt turns out to be is known only when the run reads it, after the host has
    asked for the number of steps.
    """

    def __init__(self, total: int, emit: Callable[[], None]) -> None:
        """Starts at zero.

        Args:
            total: Steps announced to the host.
            emit: Tells the host of one step.
        """
        self._left = total
        self._emit = emit

    def step(self) -> None:
        """One step is done; the last one waits for :meth:`finish`."""
        if self._left > 1:
            self._left -= 1
            self._emit()

    def finish(self) -> None:
        """Emits what is left."""
        for _ in range(self._left):
            self._emit()
        self._left = 0
