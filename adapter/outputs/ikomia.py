"""A run's result as Ikomia's outputs.

0 the image, 1 the class map, 2 the instances, 3 the run as plain data, and with three
candidates an object 4 and 5, the second and third of each. Semantic before instances: only
in this order do tasks that take either connect to the right one by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from ikomia import dataprocess
from ikomia.dataprocess.io import DataDictIO

from ...engine.export.coco import SegmentationFormat, to_coco
from ...engine.prompts import Prompt
from ...engine.results import Instance, Mask, Result
from ..inputs.drawing import RgbColor
from .palette import class_colors

IMAGE, CLASS_MAP, INSTANCES, DATA = range(4)
STATIC_COUNT = 4
BACKGROUND = "background"
MAX_CLASSES = 255
OVERLAY_OPACITY = 0.6

RgbImage = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Answer:
    """Everything that the outputs of one run are made from.

    Attributes:
        image: The input, (H, W, 3) uint8, RGB.
        result: What was found on it.
        prompt: What was asked; None for a run without a prompt.
        segmentation_format: How output 3 writes masks.
        multimask: Whether there are outputs 4 and 5.
        colors: Colors that classes have already.
        source: Where the image came from, or empty.
    """

    image: RgbImage
    result: Result
    prompt: Prompt | None = None
    segmentation_format: SegmentationFormat = "rle"
    multimask: bool = False
    colors: Mapping[str, RgbColor] = dataclasses.field(default_factory=dict)
    source: str = ""


class RunData(DataDictIO):
    """The run as plain data, made when it is first read: a click does not wait for it.

    A folder run names its file without an extension.
    """

    def __init__(self) -> None:
        self._answer: Answer | None = None
        DataDictIO.__init__(self)

    @property
    def data(self) -> dict[str, Any]:
        """The run in COCO terms; empty before the first run."""
        answer = self._answer
        if answer is None:
            return self._data
        data = to_coco(answer.result, answer.prompt, answer.segmentation_format, answer.source)
        # Unless another run ended meanwhile.
        if self._answer is answer:
            self.data = data
        return data

    @data.setter
    def data(self, data: dict[str, Any]) -> None:
        self._data, self._answer = data, None

    def hold(self, answer: Answer) -> None:
        """Makes a run's answer what :attr:`data` tells of."""
        self._answer = answer

    def is_data_available(self) -> bool:
        """Whether there was a run."""
        return self._answer is not None or bool(self._data)

    def save(self, path: str) -> None:
        """Writes the data as JSON.

        Args:
            path: Where to; ``.json`` is added where it is missing.
        """
        DataDictIO.save(self, path if path.endswith(".json") else f"{path}.json")

    def clear_data(self) -> None:
        """Leaves no data. What somebody took of an earlier run stays theirs."""
        self.data = {}


def declare(task: Any) -> None:
    """Adds the static outputs to a task that has its image output only."""
    task.add_output(dataprocess.CSemanticSegmentationIO())
    task.add_output(dataprocess.CInstanceSegmentationIO())
    task.add_output(RunData())


def clear(task: Any) -> None:
    """Leaves the static outputs, empty, and no other."""
    while task.get_output_count() > STATIC_COUNT:
        task.remove_output(task.get_output_count() - 1)
    for output in task.get_outputs():
        output.clear_data()


def fill(task: Any, answer: Answer) -> None:
    """Fills a task's cleared outputs.

    Args:
        task: A task with the outputs that :func:`declare` adds.
        answer: What to fill them with.
    """
    result = answer.result
    colors = class_colors(result.class_names, answer.colors)
    class_map = class_map_of(result)

    task.get_output(IMAGE).set_image(answer.image)
    task.get_output(IMAGE).set_overlay_mask(_overlay(result, class_map, colors))
    _fill_class_map(task.get_output(CLASS_MAP), class_map, result.class_names, colors)
    _fill_instances(task, task.get_output(INSTANCES), result, result.instances, colors)
    task.get_output(DATA).hold(answer)
    for rank in range(2 if answer.multimask else 0):
        candidates = [_alternative(instance, rank) for instance in result.instances]
        task.add_output(dataprocess.CInstanceSegmentationIO())
        output = task.get_output(task.get_output_count() - 1)
        _fill_instances(task, output, result, candidates, colors)
    _save_data_only(task)


def class_map_of(result: Result) -> npt.NDArray[np.uint8]:
    """Which class each pixel belongs to.

    Args:
        result: A result of at most 255 classes.

    Returns:
        (H, W) uint8: 0 background, k the k-th class. Where instances overlap, the one with
        the higher score is on top; of equal ones, the first.

    Raises:
        ValueError: If there are more classes than Ikomia's map can tell apart.
    """
    if len(result.class_names) > MAX_CLASSES:
        raise ValueError(
            f"classes: expected at most {MAX_CLASSES}, as many as a class map can tell apart, "
            f"got {len(result.class_names)}"
        )
    class_map = np.zeros(result.image_hw, np.uint8)
    for instance in _bottom_up(result):
        _paint(class_map, instance.mask, instance.class_index + 1)
    return class_map


def draw(answer: Answer) -> RgbImage:
    """Draws the instances over the image, each in its class's color with a bright outline.

    Args:
        answer: What a run found.

    Returns:
        A new image, (H, W, 3) uint8, RGB; the background is as it was.
    """
    drawn = answer.image.copy()
    outline_px = max(1, round(min(drawn.shape[:2]) / 200))
    colors = class_colors(answer.result.class_names, answer.colors)
    for instance in _bottom_up(answer.result):
        color, crop = colors[instance.class_index], instance.mask.crop
        left, top, right, bottom = instance.mask.xyxy
        part = drawn[top:bottom, left:right]
        mixed = part[crop] * (1 - OVERLAY_OPACITY) + np.array(color) * OVERLAY_OPACITY
        part[crop] = mixed.round().astype(np.uint8)
        if crop.size:
            rings, _ = cv2.findContours(
                crop.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top)
            )
            bright = tuple(round(255 - (255 - channel) * 0.35) for channel in color)
            cv2.drawContours(drawn, rings, -1, bright, outline_px)
    return drawn


def integer_box_xywh(instance: Instance) -> tuple[int, int, int, int]:
    """The box that Ikomia's own drawing needs.

    Args:
        instance: An instance.

    Returns:
        The tight box of its mask in pixels; of an empty mask the instance's own box, made
        at least a pixel wide and high inside the image.
    """
    left, top, right, bottom = instance.mask.xyxy
    if not instance.mask.area:
        height, width = instance.mask.image_hw
        x1, y1, x2, y2 = instance.box_xyxy
        left, top = (min(max(int(v), 0), n - 1) for v, n in ((x1, width), (y1, height)))
        right = min(max(round(x2), left + 1), width)
        bottom = min(max(round(y2), top + 1), height)
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
    for identifier, instance in enumerate(instances):
        left, top, right, bottom = instance.mask.xyxy
        canvas[top:bottom, left:right] = instance.mask.crop
        output.add_object(
            identifier,
            0,
            instance.class_index,
            result.class_names[instance.class_index],
            float(instance.score),
            *map(float, integer_box_xywh(instance)),
            canvas,
            list(colors[instance.class_index]),
        )
        canvas[top:bottom, left:right] = 0


def _overlay(
    result: Result, class_map: npt.NDArray[np.uint8], colors: Sequence[RgbColor]
) -> npt.NDArray[np.uint8]:
    """What Studio lays over the image, (H, W, 4) uint8, RGBA: transparent background."""
    rgba = np.array([(0, 0, 0, 0), *((*color, 255) for color in colors)], np.uint8)
    overlay = np.empty(result.image_hw, np.uint32)
    # "clip" writes straight into ``out``; no value of the map is beyond the table.
    np.take(rgba.view(np.uint32).ravel(), class_map, out=overlay, mode="clip")
    return overlay.view(np.uint8).reshape(*result.image_hw, 4)


def _bottom_up(result: Result) -> list[Instance]:
    return sorted(reversed(result.instances), key=lambda instance: instance.score)


def _paint(canvas: npt.NDArray[np.uint8], mask: Mask, value: int) -> None:
    if mask.crop.size:
        left, top, right, bottom = mask.xyxy
        part = canvas[top:bottom, left:right]
        # Several times as fast as NumPy's copy with a condition.
        cv2.copyTo(np.full(part.shape, value, np.uint8), mask.crop.view(np.uint8), part)


def _alternative(instance: Instance, rank: int) -> Instance:
    """The second or third candidate; an object without one keeps its place, empty."""
    if rank < len(instance.alternatives):
        return instance.alternatives[rank]
    nothing = Mask.from_full(np.zeros(instance.mask.image_hw, np.bool_))
    return dataclasses.replace(instance, score=0.0, mask=nothing, alternatives=())


def _save_data_only(task: Any) -> None:
    # In a folder run every JSON output of an image gets the same file name, and the last
    # one written would win.
    for index, output in enumerate(task.get_outputs()):
        if index != DATA:
            output.auto_save = False
