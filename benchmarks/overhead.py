"""Target 6: what the plugin adds to its engine and to Ikomia."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from .measuring import Call, seconds, watched
from .rows import Row
from .subjects import PHOTO_HW, Subjects
from .workflows import Asked, new_workflow

COUNTS = (1, 10, 100)

_TASK_CALLS = (
    "begin_task_run",
    "end_task_run",
    "get_input",
    "get_output",
    "get_outputs",
    "get_output_count",
    "add_output",
    "remove_output",
    "get_param_object",
)
_IO_CALLS = {
    "CImageIO": ("get_image", "set_image", "set_overlay_mask", "clear_data", "is_data_available"),
    "CSemanticSegmentationIO": ("set_class_names", "set_class_colors", "set_mask", "clear_data"),
    "CInstanceSegmentationIO": ("init", "add_object", "clear_data"),
    "CGraphicsInput": ("get_items",),
}


def rows(subjects: Subjects) -> Iterator[Row]:
    """Clicks on an image seen before, one object each."""
    image = subjects.seen[0]
    for count in COUNTS:
        asked = new_workflow(subjects, input_point=_points(count, image.shape[:2]))
        asked.run(image)
        run = functools.partial(asked.run, image)
        parts = [parts_of(asked, run) for _ in range(min(subjects.repeats, 7))]
        added, ikomia = min(p["added"] for p in parts), min(p["ikomia"] for p in parts)
        engine = min(p["engine"] for p in parts)
        yield Row("6", f"Workflow minus engine minus Ikomia, {count} instances, "
                  f"{PHOTO_HW[1]}×{PHOTO_HW[0]}", added * 1e3, "ms", None, "at most", 5 + count,
                  ikomia=ikomia * 1e3, note=f"engine {engine * 1e3:.0f} ms")  # fmt: skip


def _points(count: int, hw: tuple[int, int]) -> list[list[list[int]]]:
    columns = -(-count // 10)
    return [
        [[(i % columns + 1) * hw[1] // (columns + 1), (i // columns + 1) * hw[0] // 12]]
        for i in range(count)
    ]


def parts_of(asked: Asked, call: Call) -> dict[str, float]:
    """Seconds that a call of a workflow takes, divided.

    Args:
        asked: The workflow and its task.
        call: Runs it.

    Returns:
        ``total``, and what of it the ``engine`` takes, ``ikomia`` (around the task's runs and in
        the calls they make of it), and what the plugin has ``added``.
    """
    from ikomia import dataprocess

    from ..engine import Engine

    task = type(asked.task)
    ikomia_calls = [(task, name) for name in _TASK_CALLS]
    ikomia_calls += [
        (getattr(dataprocess, io), name) for io, names in _IO_CALLS.items() for name in names
    ]
    with (
        watched((task, "run")) as plugin,
        watched((Engine, "segment")) as engine,
        watched(*ikomia_calls) as ikomia,
    ):
        total = seconds(call)
    outside = total - plugin.seconds
    return {
        "total": total,
        "engine": engine.seconds,
        "ikomia": ikomia.seconds + outside,
        "added": plugin.seconds - engine.seconds - ikomia.seconds,
    }
