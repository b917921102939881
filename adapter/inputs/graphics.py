"""Reads Ikomia's graphics input into plain points and boxes."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...engine.drawing.palette import RgbColor
from ...engine.validation import BoxXyxy, PointXy, has_control_characters

NEGATIVE_CATEGORIES = frozenset(("negative", "background", "0"))
"""Categories, in any case, of drawn items with label 0."""

UNNAMED_CATEGORY = "Default"
"""Ikomia's category of an item that has none."""

_NAME_OF_TASK_GRAPHICS = "GraphicsOutput"


@dataclasses.dataclass(frozen=True)
class Detection:
    """A box detected by an earlier task of the workflow.

    Attributes:
        box_xyxy: The box, in pixels of the image.
        class_name: Its class; empty where the task gives none.
        color: RGB that the task shows the class in, 0 to 255.
    """

    box_xyxy: BoxXyxy
    class_name: str = ""
    color: RgbColor = (255, 0, 0)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Points and boxes of a graphics input, in pixels of the image.

    Attributes:
        points_xy: Drawn points.
        point_labels: 1 or 0 for each point.
        boxes_xyxy: Drawn boxes; may have no area.
        box_labels: 1 or 0 for each box.
        detections: Boxes detected by an earlier task.
        is_from_task: Whether the input is connected to an earlier task. The task may have
            detected nothing on this image.
        ignored_shapes: Kinds of drawn items that are no prompt, for instance ``polygon``.
    """

    points_xy: tuple[PointXy, ...] = ()
    point_labels: tuple[int, ...] = ()
    boxes_xyxy: tuple[BoxXyxy, ...] = ()
    box_labels: tuple[int, ...] = ()
    detections: tuple[Detection, ...] = ()
    is_from_task: bool = False
    ignored_shapes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points_xy) + len(self.boxes_xyxy) + len(self.detections)


NOTHING_DRAWN = Drawing()


def read_drawing(graphics_input: Any) -> Drawing:
    """Reads the points and rectangles of a graphics input.

    The output of an earlier task also arrives as a ``CGraphicsInput``; only its name tells
    it from a drawing. Its boxes are detections, whatever their category.

    Args:
        graphics_input: The task's ``CGraphicsInput``, or None where it has none.

    Returns:
        The points and boxes. Texts are ignored, as detectors add one to each box.
    """
    # Here, because the prompt builder uses the values above without Ikomia.
    from ikomia import core

    if graphics_input is None:
        return NOTHING_DRAWN
    items = graphics_input.get_items()
    points = [item for item in items if item.get_type() == core.GraphicsItem.POINT]
    rectangles = [item for item in items if item.get_type() == core.GraphicsItem.RECTANGLE]
    is_from_task = graphics_input.name == _NAME_OF_TASK_GRAPHICS
    drawn = [] if is_from_task else rectangles
    used_types = (core.GraphicsItem.POINT, core.GraphicsItem.RECTANGLE, core.GraphicsItem.TEXT)
    ignored = [] if is_from_task else [i for i in items if i.get_type() not in used_types]
    return Drawing(
        points_xy=tuple((float(item.point.x), float(item.point.y)) for item in points),
        point_labels=tuple(_get_label(item) for item in points),
        boxes_xyxy=tuple(_get_box_xyxy(item) for item in drawn),
        box_labels=tuple(_get_label(item) for item in drawn),
        detections=tuple(_get_detection(item) for item in rectangles) if is_from_task else (),
        is_from_task=is_from_task,
        ignored_shapes=tuple(item.get_type().name.lower() for item in ignored),
    )


def _get_label(item: Any) -> int:
    return int(item.get_category().strip().lower() not in NEGATIVE_CATEGORIES)


def _get_box_xyxy(rectangle: Any) -> BoxXyxy:
    # Drawn from right to left or upwards, a rectangle's width or height is negative.
    left, right = sorted((float(rectangle.x), float(rectangle.x + rectangle.width)))
    top, bottom = sorted((float(rectangle.y), float(rectangle.y + rectangle.height)))
    return left, top, right, bottom


def _get_detection(rectangle: Any) -> Detection:
    category = rectangle.get_category().strip()
    is_named = category != UNNAMED_CATEGORY and not has_control_characters(category)
    return Detection(_get_box_xyxy(rectangle), category if is_named else "", _get_color(rectangle))


def _get_color(rectangle: Any) -> RgbColor:
    red, green, blue = (int(channel) for channel in list(rectangle.property.pen_color)[:3])
    return red, green, blue
