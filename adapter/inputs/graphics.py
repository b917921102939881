"""Ikomia's graphics input, read into plain points and boxes."""

from __future__ import annotations

from typing import Any

from ikomia import core

from ...engine.validation import BoxXyxy, has_control_characters
from .drawing import NOTHING_DRAWN, Detection, Drawing, RgbColor

NEGATIVE_CATEGORIES = frozenset(("negative", "background", "0"))
"""Categories, in any case, of drawn items with label 0."""

UNNAMED_CATEGORY = "Default"

_NAME_OF_TASK_GRAPHICS = "GraphicsOutput"


def read_drawing(graphics_input: Any) -> Drawing:
    """Reads a graphics input.

    What an earlier task puts out arrives in the guise of a ``CGraphicsInput`` too. Only its
    name tells that it is an output, whatever that task calls its own outputs. Its boxes are
    detections whatever their category.

    Args:
        graphics_input: The task's ``CGraphicsInput``, or None where it has none.

    Returns:
        Its points and rectangles; texts, polygons and the like are left aside.
    """
    if graphics_input is None:
        return NOTHING_DRAWN
    items = graphics_input.get_items()
    points = [item for item in items if item.get_type() == core.GraphicsItem.POINT]
    rectangles = [item for item in items if item.get_type() == core.GraphicsItem.RECTANGLE]
    is_from_task = graphics_input.name == _NAME_OF_TASK_GRAPHICS
    drawn = [] if is_from_task else rectangles
    return Drawing(
        points_xy=tuple((float(item.point.x), float(item.point.y)) for item in points),
        point_labels=tuple(_label(item) for item in points),
        boxes_xyxy=tuple(_box_xyxy(item) for item in drawn),
        box_labels=tuple(_label(item) for item in drawn),
        detections=tuple(_detection(item) for item in rectangles) if is_from_task else (),
        is_from_task=is_from_task,
    )


def _label(item: Any) -> int:
    return int(item.get_category().strip().lower() not in NEGATIVE_CATEGORIES)


def _box_xyxy(rectangle: Any) -> BoxXyxy:
    # Drawn from right to left or upwards, a rectangle's width or height is negative.
    left, right = sorted((float(rectangle.x), float(rectangle.x + rectangle.width)))
    top, bottom = sorted((float(rectangle.y), float(rectangle.y + rectangle.height)))
    return left, top, right, bottom


def _detection(rectangle: Any) -> Detection:
    category = rectangle.get_category().strip()
    is_named = category != UNNAMED_CATEGORY and not has_control_characters(category)
    return Detection(_box_xyxy(rectangle), category if is_named else "", _color(rectangle))


def _color(rectangle: Any) -> RgbColor:
    red, green, blue = (int(channel) for channel in list(rectangle.property.pen_color)[:3])
    return red, green, blue
