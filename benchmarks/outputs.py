"""Measures the time to write an instance in each output format. Runs no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..engine.export.coco import to_coco
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

    result = draw_discs(COUNT)
    task = dataprocess.C2dImageTask("outputs")
    outputs.add_outputs(task)
    image = np.zeros((*PHOTO_HW, 3), np.uint8)
    task.get_input(0).set_image(image)
    task.begin_task_run()
    run = RunOutput(image, Settings.parse({}), PromptReading(None, "concept"), result)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "COCO data, masks as rle": (partial(to_coco, result, None, "rle"), 3),
        "COCO data, masks as polygon": (partial(to_coco, result, None, "polygon"), 3),
        "filling all outputs": (partial(outputs.fill_outputs, task, run), 1),
    }
    names = {outputs.CLASS_MAP: "class map", outputs.INSTANCES: "instances", outputs.DATA: "data"}
    for index, name in names.items():
        write = partial(task.get_output(index).to_json, ["json_format", "compact"])
        calls[f"to_json of output {index}, {name}"] = (write, 1)
    for what, (call, rounds) in calls.items():
        seconds = min(time_call(call) for _ in range(rounds))
        yield Row(f"{what}, {COUNT:,} instances, each", seconds / COUNT * 1e3, "ms")


def draw_discs(count: int) -> Result:
    """Makes the masks of discs anywhere on a large image."""
    rng = np.random.default_rng(0)
    instances = []
    for radius in rng.integers(*RADIUS_RANGE_PX, count).tolist():
        left, top = (int(rng.integers(0, side - 2 * radius)) for side in PHOTO_HW[::-1])
        rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        mask = Mask(PHOTO_HW, (left, top), rows**2 + columns**2 <= radius**2)
        box = (left, top, left + 2 * radius + 1, top + 2 * radius + 1)
        instances.append(Instance(0, 0.9, box, mask))
    return Result(PHOTO_HW, ("disc",), tuple(instances))
