"""Draws a run over its image, and makes the class map and the overlay that Studio shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ...engine.drawing.overlay import draw_result
from ...engine.drawing.palette import RgbColor, get_class_colors
from ...engine.images import RgbImage
from ...engine.results import Instance, Mask, Result
from ..session import RunOutput

MAX_CLASSES = 255


def draw_overlay(run: RunOutput) -> RgbImage:
    """Draws the instances of a run over its image, as :func:`draw_result` does.

    Args:
        run: A run; its image is not written to.

    Returns:
        A new image, (H, W, 3) uint8, RGB, with an unchanged background.
    """
    return draw_result(
        run.image, run.result, class_colors=choose_class_colors(run), trails=run.trails
    )


def choose_class_colors(run: RunOutput) -> list[RgbColor] | None:
    """Returns the class colors of a run with boxes of an earlier task; else None.

    Args:
        run: A run.

    Returns:
        RGB for each class: the earlier task's, or the palette's where it gave none.
    """
    given = run.reading.class_colors
    return get_class_colors(run.result.class_names, given) if given else None


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
