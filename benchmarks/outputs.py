"""Measures the time to draw instances and to write them in each format. Runs no model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..engine.drawing.overlay import draw_result, make_text
from ..engine.export.coco import to_coco
from ..engine.export.supervision import to_detections
from ..engine.images import RgbImage
from ..engine.results import Instance, Mask, Result
from ..engine.video_files import VideoWriter
from .context import PHOTO, PHOTO_HW, BenchmarkContext, draw_image
from .table import Row
from .timing import time_call

COUNT = 1000
RADIUS_RANGE_PX = (10, 60)

DRAWN_COUNTS = (10, 100, 200)
VIDEO_FRAMES = 12


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Measures drawing, and the conversion of 1,000 discs to COCO data and Ikomia's outputs."""
    del context
    yield from measure_drawing()
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


def measure_drawing() -> Iterator[Row]:
    """Yields the rows of a picture with masks and labels, and of a frame in a video file."""
    image = draw_image(0)
    for count in DRAWN_COUNTS:
        result = draw_discs(count)
        ours, theirs = (
            min(time_call(partial(draw, image, result)) for _ in range(3))
            for draw in (draw_result, draw_with_supervision)
        )
        yield Row(
            f"drawing masks and labels, {count} instances, {PHOTO}",
            ours * 1e3,
            "ms",
            reference_name="supervision's annotators",
            reference=theirs * 1e3,
        )
    with tempfile.TemporaryDirectory() as folder:
        seconds = time_call(partial(_write_video, Path(folder) / "video.mp4", image))
    yield Row(f"writing a frame of a video, {PHOTO}", seconds / VIDEO_FRAMES * 1e3, "ms")


def draw_with_supervision(image: RgbImage, result: Result) -> RgbImage:
    """Draws a result with supervision: masks, outlines and labels that do not overlap."""
    import supervision

    found = to_detections(result)
    texts = [make_text(result, instance) for instance in result.instances]
    drawn = supervision.MaskAnnotator(opacity=0.4).annotate(image.copy(), found)
    drawn = supervision.PolygonAnnotator().annotate(drawn, found)
    annotator = supervision.LabelAnnotator(smart_position=True)
    return np.asarray(annotator.annotate(drawn, found, labels=texts))


def _write_video(path: Path, image: RgbImage) -> None:
    with VideoWriter(path, 25) as writer:
        for step in range(VIDEO_FRAMES):
            writer.write(np.roll(image, 5 * step, axis=1))


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
