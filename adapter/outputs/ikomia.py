"""Fills the task's Ikomia outputs from a run.

0 the image, 1 the class map, 2 the instances, 3 the run as COCO data, and with three
candidates an object 4 and 5, the second and third of each. The semantic output comes before
the instances: only in this order do following tasks of either kind connect to the right one
by themselves.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ikomia import dataprocess

from ...engine.drawing.overlay import choose_colors
from ...engine.drawing.palette import RgbColor, get_class_colors
from ...engine.images import RgbImage
from ...engine.results import Instance, Mask, Result
from ..session import RunOutput
from .coco_data import CocoDataIO
from .overlay import choose_class_colors, make_class_map, make_studio_overlay

IMAGE, CLASS_MAP, INSTANCES, DATA = range(4)
STATIC_COUNT = 4
BACKGROUND = "background"


def add_outputs(task: Any) -> None:
    """Adds the static outputs 1 to 3 to a task that has its image output only."""
    task.add_output(dataprocess.CSemanticSegmentationIO())
    task.add_output(dataprocess.CInstanceSegmentationIO())
    task.add_output(CocoDataIO())


def clear_outputs(task: Any) -> None:
    """Removes the dynamic outputs and empties the static ones."""
    while task.get_output_count() > STATIC_COUNT:
        task.remove_output(task.get_output_count() - 1)
    for output in task.get_outputs():
        output.clear_data()


def fill_outputs(task: Any, run: RunOutput) -> None:
    """Fills a task's cleared outputs.

    Args:
        task: A task with the outputs that :func:`add_outputs` adds.
        run: The run to fill them from.
    """
    result = run.result
    colors = get_class_colors(result.class_names, run.reading.class_colors)
    class_map = make_class_map(result)

    task.get_output(IMAGE).set_image(run.image)
    task.get_output(IMAGE).set_overlay_mask(make_studio_overlay(class_map, colors))
    _fill_class_map(task.get_output(CLASS_MAP), class_map, result.class_names, colors)
    instance_colors = choose_colors(result, choose_class_colors(run))
    _fill_instances(task, task.get_output(INSTANCES), result, result.instances, instance_colors)
    task.get_output(DATA).set_run(run)
    for rank in range(2 if run.has_candidates else 0):
        candidates = [_get_alternative(instance, rank) for instance in result.instances]
        task.add_output(dataprocess.CInstanceSegmentationIO())
        output = task.get_output(task.get_output_count() - 1)
        _fill_instances(task, output, result, candidates, instance_colors)
    _disable_auto_save_except_data(task)


def draw_boxes(task: Any, image: RgbImage | None) -> RgbImage | None:
    """Draws the boxes, class names and scores of a task's instances, as Ikomia does.

    Args:
        task: A task with filled outputs.
        image: (H, W, 3) uint8, RGB, not written to; None before the first run.

    Returns:
        A new image; None without an image.
    """
    if image is None:
        return None
    canvas = dataprocess.CImageIO()
    canvas.set_image(image)
    drawn: RgbImage = canvas.get_image_with_graphics(task.get_output(INSTANCES))
    return drawn


def get_integer_box_xywh(instance: Instance) -> tuple[int, int, int, int]:
    """Returns the box of an instance as integers, which Ikomia's own drawing needs.

    Args:
        instance: An instance.

    Returns:
        x, y, width and height in pixels: its box made larger to whole pixels, inside the image
        and at least one pixel wide and high.
    """
    height, width = instance.mask.image_hw
    x1, y1, x2, y2 = instance.box_xyxy
    left, top = (min(max(math.floor(v), 0), n - 1) for v, n in ((x1, width), (y1, height)))
    right = min(max(math.ceil(x2), left + 1), width)
    bottom = min(max(math.ceil(y2), top + 1), height)
    return left, top, right - left, bottom - top


def _fill_class_map(
    output: Any,
    class_map: npt.NDArray[np.uint8],
    class_names: Sequence[str],
    colors: Sequence[RgbColor],
) -> None:
    # Names before colors before the mask: each call reads what the one before has set.
    output.set_class_names([BACKGROUND, *class_names])
    output.set_class_colors([[0, 0, 0], *map(list, colors)])
    output.set_mask(class_map)


def _fill_instances(
    task: Any,
    output: Any,
    result: Result,
    instances: Sequence[Instance],
    colors: Sequence[RgbColor],
) -> None:
    height, width = result.image_hw
    output.init(task.name, IMAGE, width, height)
    # Ikomia copies every mask, so one canvas serves them all.
    canvas = np.zeros((height, width), np.uint8)
    for identifier, (instance, color) in enumerate(zip(instances, colors, strict=True)):
        left, top, right, bottom = instance.mask.xyxy
        canvas[top:bottom, left:right] = instance.mask.crop
        track_id = instance.track_id
        output.add_object(
            identifier if track_id is None else track_id,
            0,
            instance.class_index,
            result.class_names[instance.class_index],
            float(instance.score),
            *map(float, get_integer_box_xywh(instance)),
            canvas,
            list(color),
        )
        canvas[top:bottom, left:right] = 0


def _get_alternative(instance: Instance, rank: int) -> Instance:
    """Returns the second or third candidate, or an empty instance where there is none."""
    if rank < len(instance.alternatives):
        return instance.alternatives[rank]
    empty = Mask.from_full(np.zeros(instance.mask.image_hw, np.bool_))
    return dataclasses.replace(instance, score=0.0, mask=empty, alternatives=())


def _disable_auto_save_except_data(task: Any) -> None:
    # In a folder run every JSON output of an image gets the same file name, and the last
    # one written would win.
    for index, output in enumerate(task.get_outputs()):
        if index != DATA:
            output.auto_save = False
