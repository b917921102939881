"""Reads the labeled points and boxes of the parameters and of the drawing, inside the image.

Their values were checked one by one when they were set; what depends on the image or on another
parameter is checked here rather than by the engine's prompt, so that an error names the parameter.
"""

from __future__ import annotations

import dataclasses

from ..engine import validation
from ..engine.validation import BoxXyxy, PointXy
from .inputs.graphics import Detection, Drawing
from .parameters.settings import Settings

LabeledPoint = tuple[PointXy, int]
LabeledBox = tuple[BoxXyxy, int]


def read_points(
    settings: Settings, image_hw: tuple[int, int], warnings: list[str]
) -> list[list[LabeledPoint]]:
    """Reads the points of the parameters, one group for each object.

    Args:
        settings: The parameters.
        image_hw: Height and width of the image, in pixels.
        warnings: Gets a line where labels are left out.

    Returns:
        The points of each object.

    Raises:
        ValueError: If labels are not nested as the points are, or a point is outside the image.
    """
    groups, labels = settings.input_point, settings.input_point_label
    if labels and not groups:
        warnings.append("input_point_label: labels without points, left out")
        return []
    counts, label_counts = [len(group) for group in groups], [len(group) for group in labels]
    if labels and counts != label_counts:
        raise validation.value_error(
            "input_point_label",
            f"labels nested as the points are, {_format_counts(counts)}",
            settings.input_point_label,
        )
    for group in groups:
        validation.check_inside("input_point", group, image_hw)
    filled = labels or [(1,) * count for count in counts]
    return [list(zip(*pair, strict=True)) for pair in zip(groups, filled, strict=True)]


def read_boxes(
    settings: Settings,
    image_hw: tuple[int, int],
    warnings: list[str],
    image: str = "image",
) -> list[LabeledBox]:
    """Reads the boxes of the parameters, clipped to the image in which they lie.

    Args:
        settings: The parameters.
        image_hw: Height and width of that image, in pixels.
        warnings: Gets a line where labels are left out.
        image: What errors call that image.

    Returns:
        The boxes.

    Raises:
        ValueError: If there are not as many labels as boxes, or a box is wholly outside.
    """
    boxes, labels = settings.input_box, settings.input_box_label
    if labels and not boxes:
        warnings.append("input_box_label: labels without boxes, left out")
        return []
    validation.check_same_count("input_box_label", len(labels), len(boxes), "boxes")
    clipped = validation.clip_boxes_xyxy("input_box", boxes, image_hw, image)
    return list(zip(clipped, labels or (1,) * len(boxes), strict=True))


def read_drawn_boxes(
    drawing: Drawing, image_hw: tuple[int, int], warnings: list[str]
) -> list[LabeledBox]:
    """Reads the drawn boxes that have an area; a click with the box tool leaves one without."""
    pairs = zip(drawing.boxes_xyxy, drawing.box_labels, strict=True)
    drawn = [(box, label) for box, label in pairs if box[0] < box[2] and box[1] < box[3]]
    if len(drawn) < len(drawing.boxes_xyxy):
        count = len(drawing.boxes_xyxy) - len(drawn)
        warnings.append(f"drawn boxes: {count} without an area, left out")
    clipped = validation.clip_boxes_xyxy("drawn boxes", (box for box, _ in drawn), image_hw)
    return list(zip(clipped, (label for _, label in drawn), strict=True))


def clip_detections(
    detections: tuple[Detection, ...], image_hw: tuple[int, int], warnings: list[str]
) -> list[Detection]:
    """Clips detections to the image, and leaves out those outside: a user cannot correct them."""
    kept = []
    for detection in detections:
        try:
            box = validation.clip_boxes_xyxy("detections", [detection.box_xyxy], image_hw)[0]
        except ValueError:
            continue
        kept.append(dataclasses.replace(detection, box_xyxy=box))
    if len(kept) < len(detections):
        count = len(detections) - len(kept)
        warnings.append(f"boxes of the earlier task: {count} outside the image, left out")
    return kept


def _format_counts(counts: list[int]) -> str:
    each = ", ".join(map(str, counts[:5])) + (", ..." if len(counts) > 5 else "")
    return f"{each} of them" if len(counts) == 1 else f"{each} of them for {len(counts)} objects"
