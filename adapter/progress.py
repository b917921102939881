"""What a run reports to its host: progress steps, and warnings that are not repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

logger = logging.getLogger("infer_segment_anything_3")


class WarnOnce:
    """Logs each warning once until :meth:`reset`: a video would repeat it for every frame."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def warn(self, messages: Iterable[str]) -> None:
        """Logs the messages that were not logged since the last reset, at WARNING."""
        for message in messages:
            if message not in self._logged:
                self._logged.add(message)
                logger.warning("%s", message)

    def reset(self) -> None:
        """Allows every message to be logged again."""
        self._logged.clear()


class Progress:
    """Emits exactly as many progress steps as were announced to the host.

    The host asks for the number of steps before a run starts, but the run may need more or
    fewer.
    """

    def __init__(self, total: int, emit: Callable[[], None]) -> None:
        """Starts at zero.

        Args:
            total: Number of steps announced to the host.
            emit: Called once for each step.
        """
        self._left = total
        self._emit = emit

    def step(self) -> None:
        """Emits one step; the last one is left to :meth:`finish`."""
        if self._left > 1:
            self._left -= 1
            self._emit()

    def finish(self) -> None:
        """Emits the steps that are left."""
        for _ in range(self._left):
            self._emit()
        self._left = 0
