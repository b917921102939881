"""Describes the last run in the lines that the widget shows."""

from __future__ import annotations

from typing import Any

from ..session import RunOutput

MAX_NOTES = 3
"""Notes of a run that the widget shows; output 3 has all of them."""

MAX_SHOWN_IDS = 10
"""Track ids that the widget lists."""


def update_notes(param: Any, run: RunOutput) -> bool:
    """Writes the widget's lines about a run into the parameters.

    Args:
        param: The task's parameters.
        run: The run.

    Returns:
        Whether a line has changed, so that the widget has to show it.
    """
    used, count = run.reading.drawn_used, run.reading.drawn_count
    drawn = [f"The last run used {used} of {count} drawn prompts."] if count else []
    note = "\n".join((*drawn, *run.notes[:MAX_NOTES]))
    tracking_note = _describe_tracks(run) if run.is_tracked else ""
    shown = getattr(param, "last_run_note", note), getattr(param, "tracking_note", "")
    if shown == (note, tracking_note):
        return False
    param.last_run_note, param.tracking_note = note, tracking_note
    return True


def _describe_tracks(run: RunOutput) -> str:
    ids = [str(instance.track_id) for instance in run.result.instances]
    shown = ", ".join(ids[:MAX_SHOWN_IDS]) + (", ..." if len(ids) > MAX_SHOWN_IDS else "")
    return f"Tracking: {len(ids)} in view" + (f" (ids {shown})." if ids else ".")
