"""Measures the time to write an instance in each output format. Runs no model."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ..engine.results import Instance, Mask, Result
from .context import PHOTO_HW, BenchmarkContext
from .table import Row
from .timing import time_call

COUNT = 1000
RADIUS_RANGE_PX = (10, 60)


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: a thousand discs as COCO data and as Ikomia's outputs."""
    del context
    from ikomia import dataprocess

    from ..adapter.outputs import ikomia as outputs
    from ..adapter.parameters.settings import Settings
    from ..adapter.prompt_builder import PromptReading
    from ..adapter.session import RunOutput
    from ..engine.export.coco import to_coco

    result = draw_discs(COUNT)
    for form in ("rle", "polygon"):
        seconds = min(time_call(lambda f=form: to_coco(result, None, f)) for _ in range(3))  # type: ignore[misc]
        yield _make_row(f"COCO data, masks as {form}", seconds)
    task = dataprocess.C2dImageTask("outputs")
    outputs.add_outputs(task)
    image = np.zeros((*PHOTO_HW, 3), np.uint8)
    task.get_input(0).set_image(image)
    task.begin_task_run()
    run = RunOutput(image, Settings.parse({}), PromptReading(None, "concept"), result)
    yield _make_row("filling all outputs", time_call(lambda: outputs.fill_outputs(task, run)))
    names = {outputs.CLASS_MAP: "class map", outputs.INSTANCES: "instances", outputs.DATA: "data"}
    for index, name in names.items():
        output = task.get_output(index)
        seconds = time_call(lambda o=output: o.to_json(["json_format", "compact"]))  # type: ignore[misc]
        yield _make_row(f"to_json of output {index}, {name}", seconds)


def draw_discs(count: int) -> Result:
    """Draws discs anywhere on a large image."""
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


def _make_row(what: str, seconds: float) -> Row:
    return Row(f"{what}, {COUNT:,} instances, each", seconds / COUNT * 1e3, "ms")
