"""What an instance costs in each of the forms in which it is handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from ..engine.results import Instance, Mask, Result
from .measuring import seconds
from .rows import Row
from .subjects import PHOTO_HW, Subjects

COUNT = 1000
RADIUS_RANGE_PX = (10, 60)


def rows(subjects: Subjects) -> Iterator[Row]:
    """A thousand discs as COCO data and as Ikomia's outputs. Runs no model."""
    from ikomia import dataprocess

    from ..adapter.outputs import ikomia as outputs
    from ..adapter.parameters.settings import Settings
    from ..adapter.prompt_builder import PromptReading
    from ..adapter.session import RunOutput
    from ..engine.export.coco import to_coco

    result = discs(COUNT)
    for form in ("rle", "polygon"):
        taken = min(seconds(lambda f=form: to_coco(result, None, f)) for _ in range(3))  # type: ignore[misc]
        yield _row(f"COCO terms, masks as {form}", taken)
    task = dataprocess.C2dImageTask("outputs")
    outputs.add_outputs(task)
    image = np.zeros((*PHOTO_HW, 3), np.uint8)
    task.get_input(0).set_image(image)
    task.begin_task_run()
    run = RunOutput(image, Settings.parse({}), PromptReading(None, "concept"), result)
    yield _row("filling all outputs", seconds(lambda: outputs.fill_outputs(task, run)))
    names = {outputs.CLASS_MAP: "class map", outputs.INSTANCES: "instances", outputs.DATA: "data"}
    for index, name in names.items():
        yield _row(f"to_json of output {index}, {name}", seconds(_json_of(task.get_output(index))))


def discs(count: int) -> Result:
    """Discs anywhere on a large picture."""
    rng = np.random.default_rng(0)
    height, width = PHOTO_HW
    instances = []
    for _ in range(count):
        radius = int(rng.integers(*RADIUS_RANGE_PX))
        x, y = int(rng.integers(radius, width - radius)), int(rng.integers(radius, height - radius))
        full = np.zeros(PHOTO_HW, np.uint8)
        cv2.circle(full, (x, y), radius, 1, -1)
        mask = Mask.from_full(full.view(np.bool_))
        left, top, right, bottom = map(float, mask.xyxy)
        instances.append(Instance(0, 0.9, (left, top, right, bottom), mask))
    return Result(PHOTO_HW, ("disc",), tuple(instances))


def _json_of(output: Any) -> Callable[[], Any]:
    return lambda: output.to_json(["json_format", "compact"])


def _row(what: str, taken: float) -> Row:
    return Row("answers", f"{what}, of {COUNT:,} instances, each", taken / COUNT * 1e3, "ms")
