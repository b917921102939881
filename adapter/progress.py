"""Reports a run to Ikomia: progress steps, and warnings that are not repeated."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable

from ..agent.results import AgentLimits
from ..engine.runtime.steps import OBJECTS_PER_STEP
from .parameters.settings import Settings
from .prompt_builder import resolve_mode

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

    The host asks for the number of steps before a run starts, see :func:`count_steps`. It is
    told of more, or of fewer, as soon as the engine knows better; it sees the last step only
    when the outputs are there.
    """

    def __init__(
        self, total: int, emit: Callable[[], None], emit_added: Callable[[int], None]
    ) -> None:
        """Starts at zero.

        Args:
            total: Number of steps that the host was told of.
            emit: Called once for each step.
            emit_added: Called with the number of steps that the host is to add to the total;
                negative to remove some.
        """
        self._left = total
        self._emit = emit
        self._emit_added = emit_added

    def plan(self, count: int) -> None:
        """Corrects the host's total where the engine has another number of steps to come.

        Args:
            count: Steps to come until the outputs, which are one step more.
        """
        added = count + 1 - self._left
        if added:
            self._left += added
            self._emit_added(added)

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


def count_steps(settings: Settings) -> int:
    """Counts the steps of a run: load, encode, each concept (or batch of objects), outputs.

    Of a description, each request to the language model is a step, up to the most there may be.
    A reference image is one step more. With tiles, each view (the whole image and every tile)
    is encoded and segmented. How many tiles ``auto`` takes is known only during the run:
    :meth:`Progress.plan` adds them.

    Args:
        settings: The parameters.

    Returns:
        The number of steps, as far as it is known before the run.
    """
    mode = resolve_mode(settings)
    if mode == "describe":
        return 2 + AgentLimits().requests
    if mode == "object":
        return 4
    if mode == "everything":
        return 3 + math.ceil(settings.points_per_side**2 / OBJECTS_PER_STEP)
    views = 1 if settings.tiles in (1, "auto") else 1 + int(settings.tiles) ** 2
    steps = 3 if settings.reference_image else 2
    return steps + views * (1 + max(1, len(settings.input_text)))
