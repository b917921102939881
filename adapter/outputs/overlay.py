"""Draws instances over the image, and makes the overlay that Studio shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ...engine.export.palette import RgbColor, get_class_colors
from ...engine.results import Instance, Mask, Result
from ..session import RunOutput
from .track_drawing import draw_tracks, get_color

MAX_CLASSES = 255
TINT_OPACITY = 0.6
GRAY_FLOOR, GRAY_CONTRAST = 60, 0.4
"""Black and white of the image come out as 60 and 162 under a tint: both show its color."""

RgbImage = npt.NDArray[np.uint8]


def draw_overlay(run: RunOutput) -> RgbImage:
    """Draws the instances over the image, each with an outline in its class's color.

    The image turns gray under a mask before it is tinted, so that one class has one color
    whatever is below it. A white line around the outline sets it off from an image of the
    same color.

    Where objects are followed, each has its track's color, its id and a short trail.

    Args:
        run: A run; its image is not written to.

    Returns:
        A new image, (H, W, 3) uint8, RGB, with an unchanged background.
    """
    drawn = run.image.copy()
    gray = np.asarray(cv2.cvtColor(run.image, cv2.COLOR_RGB2GRAY), np.uint8)
    colors = get_class_colors(run.result.class_names, run.reading.class_colors)
    for instance in _sort_bottom_up(run.result):
        if instance.mask.area:
            _draw_instance(drawn, gray, instance.mask, get_color(instance, colors))
    draw_tracks(drawn, run.result, run.trails)
    return drawn


def _draw_instance(
    drawn: RgbImage, gray: npt.NDArray[np.uint8], mask: Mask, color: RgbColor
) -> None:
    left, top, right, bottom = mask.xyxy
    below = gray[top:bottom, left:right][mask.crop][:, None]
    tinted = (GRAY_FLOOR + below * GRAY_CONTRAST) * (1 - TINT_OPACITY) + np.array(
        color
    ) * TINT_OPACITY
    drawn[top:bottom, left:right][mask.crop] = tinted.round().astype(np.uint8)
    contours, _ = cv2.findContours(
        mask.crop.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top)
    )
    # On both sides of the border; thin on a small instance, which thick lines would cover.
    side_px = round(min(min(gray.shape) / 240, min(mask.crop.shape) / 30))
    cv2.drawContours(drawn, contours, -1, (255, 255, 255), 2 * side_px + 2)
    cv2.drawContours(drawn, contours, -1, color, max(1, 2 * side_px))


def make_class_map(result: Result) -> npt.NDArray[np.uint8]:
    """Makes the map of the class that each pixel belongs to.

    Args:
        result: A result of at most 255 classes.

    Returns:
        (H, W) uint8: 0 background, k the k-th class. Where instances overlap, the one with
        the higher score is on top; of equal scores, the first.

    Raises:
        ValueError: If there are more classes than a uint8 map can hold.
    """
    if len(result.class_names) > MAX_CLASSES:
        raise ValueError(
            f"classes: expected at most {MAX_CLASSES}, as many as a class map can hold, "
            f"got {len(result.class_names)}"
        )
    class_map = np.zeros(result.image_hw, np.uint8)
    for instance in _sort_bottom_up(result):
        _paint(class_map, instance.mask, instance.class_index + 1)
    return class_map


def make_studio_overlay(
    class_map: npt.NDArray[np.uint8], colors: Sequence[RgbColor]
) -> npt.NDArray[np.uint8]:
    """Makes the overlay that Studio blends with the image.

    Args:
        class_map: (H, W) uint8, as :func:`make_class_map` returns it.
        colors: One color for each class.

    Returns:
        (H, W, 4) uint8, RGBA, with a transparent background.
    """
    rgba = np.array([(0, 0, 0, 0), *((*color, 255) for color in colors)], np.uint8)
    overlay = np.empty(class_map.shape, np.uint32)
    # "clip" writes straight into ``out``; no value of the map is beyond the table.
    np.take(rgba.view(np.uint32).ravel(), class_map, out=overlay, mode="clip")
    return overlay.view(np.uint8).reshape(*class_map.shape, 4)


def _sort_bottom_up(result: Result) -> list[Instance]:
    return sorted(reversed(result.instances), key=lambda instance: instance.score)


def _paint(canvas: npt.NDArray[np.uint8], mask: Mask, value: int) -> None:
    if mask.crop.size:
        left, top, right, bottom = mask.xyxy
        part = canvas[top:bottom, left:right]
        # Several times as fast as NumPy's copy with a condition.
        cv2.copyTo(np.full(part.shape, value, np.uint8), mask.crop.view(np.uint8), part)
