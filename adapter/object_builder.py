"""Combines points, boxes and detections into the objects of an object prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..engine import validation
from ..engine.prompts import ObjectPrompt, PromptedObject
from ..engine.results import Result
from ..engine.validation import BoxXyxy, PointXy
from .inputs.graphics import Detection, Drawing
from .labeled_inputs import LabeledPoint
from .parameters.settings import Settings

DEFAULT_CLASS_NAME = "object"


def build_objects(
    settings: Settings,
    groups: Sequence[Sequence[LabeledPoint]],
    boxes: Sequence[BoxXyxy],
    drawing: Drawing,
    detections: Sequence[Detection],
) -> tuple[tuple[PromptedObject, ...], int]:
    """Builds one object for each box, or without any box for each group of points.

    Args:
        settings: The parameters, for the class name.
        groups: Points of the parameters, one group for each object.
        boxes: Boxes of the parameters and drawn ones, inside the image.
        drawing: The drawing, for its points.
        detections: Boxes of an earlier task, inside the image.

    Returns:
        The objects (boxes first, then detections; without any box the groups of points),
        and the number of points that are in no box and were left out.

    Raises:
        ValueError: If there are too many points in all boxes together.
    """
    name = ", ".join(concept.text for concept in settings.input_text) or DEFAULT_CLASS_NAME
    drawn = list(zip(drawing.points_xy, drawing.point_labels, strict=True))
    named_boxes = [(box, name) for box in boxes]
    named_boxes += [(found.box_xyxy, found.class_name or name) for found in detections]
    if not named_boxes:
        return tuple(_make_object(group, name) for group in _add_drawn_points(groups, drawn)), 0
    points = [point for group in groups for point in group] + drawn
    inside = _find_points_in_boxes([xy for xy, _ in points], [box for box, _ in named_boxes])
    validation.check_at_most(
        "input_point", int(inside.sum()), validation.MAX_POINTS, "points in boxes"
    )
    objects = tuple(
        _make_object([points[k] for k in np.flatnonzero(rows)], class_name, box)
        for rows, (box, class_name) in zip(inside.T, named_boxes, strict=True)
    )
    return objects, int(np.count_nonzero(~inside.any(axis=1)))


def add_previous_masks(
    objects: tuple[PromptedObject, ...], previous: tuple[ObjectPrompt, Result] | None
) -> tuple[PromptedObject, ...]:
    """Adds the mask of the last run to each object that got new points.

    An object is the same as the one at its place in the last run if it has the same box, and
    the same points with or without new ones. The same object without a new point gets the
    mask input of the last run again, so that it gives the same result.

    Args:
        objects: The objects of this run.
        previous: Prompt and result of the last run on the same image and model; None to
            start without masks.

    Returns:
        The objects, with ``mask_input`` where there is a mask to start from.
    """
    if previous is None:
        return objects
    prompt, result = previous
    before = dict(enumerate(zip(prompt.objects, result.instances, strict=True)))
    updated = []
    for index, now in enumerate(objects):
        if index in before and _is_same_object(before[index][0], now):
            then, instance = before[index]
            has_new_points = len(now.points_xy) > len(then.points_xy)
            logits = instance.low_res_logits if has_new_points else then.mask_input
            now = dataclasses.replace(now, mask_input=logits)
        updated.append(now)
    return tuple(updated)


def _is_same_object(then: PromptedObject, now: PromptedObject) -> bool:
    earlier = set(zip(then.points_xy, then.point_labels, strict=True))
    return then.box_xyxy == now.box_xyxy and earlier <= set(
        zip(now.points_xy, now.point_labels, strict=True)
    )


def _add_drawn_points(
    groups: Sequence[Sequence[LabeledPoint]], drawn: list[LabeledPoint]
) -> list[list[LabeledPoint]]:
    """Adds drawn points to the one object there is, else as an object of their own."""
    listed = [list(group) for group in groups]
    if drawn and len(listed) == 1:
        return [listed[0] + drawn]
    return [*listed, drawn] if drawn else listed


def _make_object(
    points: Sequence[LabeledPoint], class_name: str, box: BoxXyxy | None = None
) -> PromptedObject:
    return PromptedObject(
        points_xy=tuple(xy for xy, _ in points),
        point_labels=tuple(label for _, label in points),
        box_xyxy=box,
        class_name=class_name,
    )


def _find_points_in_boxes(points: list[PointXy], boxes: list[BoxXyxy]) -> npt.NDArray[np.bool_]:
    """Finds which of P points are inside or on the border of B boxes, (P, B) bool."""
    xy = np.array(points, float).reshape(-1, 1, 2)
    corners = np.array(boxes, float).reshape(1, -1, 4)
    is_inside = (corners[..., :2] <= xy) & (xy <= corners[..., 2:])
    return np.logical_and.reduce(is_inside, axis=2)
