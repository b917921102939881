"""Target 1: an image is encoded once, a model loaded once, a click costs a click."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .measuring import in_turns, watched
from .rows import Row
from .subjects import PHOTO_HW, Subjects, click, click_xy

if TYPE_CHECKING:
    from .workflows import Asked


def engine_rows(subjects: Subjects) -> Iterator[Row]:
    """A click through the engine alone."""
    image, state = subjects.seen
    rounds = range(subjects.repeats)
    ours, bare = in_turns(
        [lambda: subjects.engine.segment(image, click(image)) for _ in rounds],
        [lambda: subjects.package.click(state, image) for _ in rounds],
    )
    yield Row(
        "1", f"click on an image seen before, {PHOTO_HW[1]}×{PHOTO_HW[0]}, the engine alone",
        ours * 1e3, "ms", bare * 1e3, "more than package", 30,
    )  # fmt: skip


def rows(subjects: Subjects) -> Iterator[Row]:
    """A click and a session of 50 changes, through Ikomia's workflow."""
    from .workflows import new_workflow

    image, state = subjects.seen
    asked = new_workflow(subjects, input_point=list(map(int, click_xy(image))))
    asked.run(image)
    rounds = range(subjects.repeats)
    ours, bare, engine_alone = in_turns(
        [lambda: asked.run(image) for _ in rounds],
        [lambda: subjects.package.click(state, image) for _ in rounds],
        [lambda: subjects.engine.segment(image, click(image)) for _ in rounds],
    )
    yield Row(
        "1", f"click through the Workflow on an image seen before, {PHOTO_HW[1]}×{PHOTO_HW[0]}",
        ours * 1e3, "ms", bare * 1e3, "more than package", 30,
        note=f"against a bare predict_inst; the engine alone {engine_alone * 1e3:.0f} ms",
    )  # fmt: skip
    yield from _session(subjects, asked, image)
    yield from _sharing(subjects)


def changes(count: int, hw: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """As many changes of prompt parameters, of every kind."""
    height, width = hw
    for i in range(count):
        x, y = width * (i + 1) // (count + 2), height * (i + 1) // (count + 2)
        nothing = {"input_text": "", "input_point": "", "input_box": "", "refine": False}
        kinds: list[dict[str, Any]] = [
            {"input_point": [x, y]},
            {"input_box": [x // 2, y // 2, x + 2, y + 2]},
            {"input_point": [[x, y], [y % width, y]], "input_point_label": [1, 0]},
            {"input_point": [x, y], "multimask_output": True},
            {"input_text": "circle", "confidence_threshold": 0.99 + i / 10_000},
        ]
        unlabelled = {"input_point_label": "", "multimask_output": False}
        yield {**nothing, **unlabelled, **kinds[i % len(kinds)]}


def _session(subjects: Subjects, asked: Asked, image: Any) -> Iterator[Row]:
    from ..engine import engine as engine_module

    before = subjects.engine.encodings
    with watched((engine_module, "load_model")) as loads:
        for values in changes(50, image.shape[:2]):
            asked.ask(**values)
            asked.run(image.copy())
    encodings = subjects.engine.encodings - before
    yield Row(
        "1", "encodings in 50 runs with 50 changes of prompt parameters", encodings, "",
        kind="at most", limit=0, note="the image was seen before",
    )  # fmt: skip
    yield Row("1", "model loads in them", loads.calls, "", kind="at most", limit=0,
              note="the model was loaded before")  # fmt: skip


def _sharing(subjects: Subjects) -> Iterator[Row]:
    """On the bundled model in another precision, of which nobody holds an engine."""
    from ..engine import engine as engine_module
    from .workflows import new_workflow

    bundled = Subjects("tiny_shapes", None, subjects.device, "float32", 1)
    if subjects.model_name == "tiny_shapes" and subjects.engine.precision == "float32":
        bundled.precision = "bfloat16"
    image = bundled.new_picture((300, 400))
    with watched((engine_module, "load_model")) as loads:
        tasks = [new_workflow(bundled, input_point=[5, 5]) for _ in range(2)]
        for task in tasks:
            task.run(image)
        model = weakref.ref(tasks[0].engine.model)
        shared = len({id(task.engine) for task in tasks})
        del task
        tasks.clear()
    gc.collect()
    yield Row("1", "models loaded for two tasks with the same weights", max(loads.calls, shared),
              "", kind="at most", limit=1, note="tiny_shapes")  # fmt: skip
    yield Row("1", "models left when the last of them is gone", int(model() is not None), "",
              kind="at most", limit=0, note="tiny_shapes")  # fmt: skip
