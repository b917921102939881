"""Measures the quality of masks after 1, 3 and 5 clicks."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ...engine import Mask, ObjectPrompt, PromptedObject
from ...engine.postprocess.nms import compute_mask_ious
from ..options import Segmenter
from .ground_truth import GroundTruth, Record
from .predictions import find_center

CLICKS = 5
REPORTED = (1, 3, 5)


class _ClickedObject(NamedTuple):
    """Holds one object and its clicks so far."""

    target: npt.NDArray[np.bool_]
    points_xy: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    shown: npt.NDArray[np.bool_] | None = None
    logits: npt.NDArray[np.float32] | None = None


def click_objects(
    engine: Segmenter, truth: GroundTruth, image: Record, limit: int
) -> list[list[float]]:
    """Simulates a user who clicks on annotated objects where the mask is wrong.

    The first click is at the center of the object; each next one at the center of the largest
    error region, foreground where mask is missing and background where it is too much, and
    feeds the last mask back (the protocol of RITM and SAM).

    Args:
        engine: What segments.
        truth: The data set.
        image: One of its images.
        limit: Most objects.

    Returns:
        For each object J (the mask's IoU) after 1 to 5 clicks.
    """
    pixels = truth.read_pixels(image)
    masks = [mask for _, mask in truth.get_masks(image) if mask.any()][:limit]
    clicked = [_ClickedObject(mask) for mask in masks]
    scores: list[list[float]] = [[] for _ in clicked]
    for _ in range(CLICKS if clicked else 0):
        clicked = [_add_click(one) for one in clicked]
        objects = tuple(
            PromptedObject(
                points_xy=one.points_xy,
                point_labels=one.labels,
                mask_input=one.logits,
            )
            for one in clicked
        )
        found = engine.segment(pixels, ObjectPrompt(objects, return_logits=True)).instances
        for index, instance in enumerate(found):
            shown = instance.mask.full()
            clicked[index] = clicked[index]._replace(shown=shown, logits=instance.low_res_logits)
            target = Mask.from_full(clicked[index].target)
            scores[index].append(float(compute_mask_ious([target, instance.mask])[0, 1]))
    return scores


def average_clicks(scores: list[list[float]]) -> dict[str, float | None]:
    """Averages J over objects after 1, 3 and 5 clicks."""
    return {
        f"J@{count}": float(np.mean([row[count - 1] for row in scores])) if scores else None
        for count in REPORTED
    }


def _add_click(clicked: _ClickedObject) -> _ClickedObject:
    if clicked.shown is None:
        region, label = clicked.target, 1
    else:
        regions = [
            (_find_largest_part(clicked.target & ~clicked.shown), 1),
            (_find_largest_part(clicked.shown & ~clicked.target), 0),
        ]
        region, label = max(regions, key=lambda pair: int(pair[0].sum()))
        if not region.any():  # a perfect mask: one more click inside
            region, label = clicked.target, 1
    return clicked._replace(
        points_xy=(*clicked.points_xy, find_center(region)), labels=(*clicked.labels, label)
    )


def _find_largest_part(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    if count < 2:
        return region
    largest: npt.NDArray[np.bool_] = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return largest
