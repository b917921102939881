"""Declares the callbacks through which a caller follows the steps of a run."""

from __future__ import annotations

from collections.abc import Callable

StepCallback = Callable[[str], None]
"""Called after every step of a run with its name; an exception it raises ends the run."""

PlanCallback = Callable[[int], None]
"""Called with the number of steps that are still to come, each time that it becomes known."""

OBJECTS_PER_STEP = 64
"""Most objects in one decoder call: bounds its memory to about a gigabyte at full size."""


def ignore(_: object) -> None:
    """Does nothing, as a callback."""
