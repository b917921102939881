"""Draws the instances of a result over its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..images import RgbImage
from ..results import Instance, Mask, Result
from ..validation import PointXy
from .labels import Label, draw_labels
from .palette import RgbColor, get_class_colors, get_instance_color

FILL_OPACITY = 0.4


def draw_result(
    image: RgbImage,
    result: Result,
    *,
    labels: bool = True,
    class_colors: Sequence[RgbColor] | None = None,
    trails: Mapping[int, Sequence[PointXy]] | None = None,
) -> RgbImage:
    """Draws the instances of a result over its image: a tint, an outline and a label each.

    Where no instance has a mask (boxes alone were asked for), the outline is that of its box.

    Args:
        image: (H, W, 3) uint8, RGB, of the result's size. Not written to.
        result: What was found on it.
        labels: Whether to write names and scores, and ids on videos.
        class_colors: RGB for each class; by default those of the palette.
        trails: On videos: path of each track over the last frames, (x, y) in pixels.

    Returns:
        A new image, (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If the image has another size than the result's.
    """
    if image.shape != (*result.image_hw, 3):
        raise ValueError(
            f"image: expected shape {(*result.image_hw, 3)}, that of the result, got {image.shape}"
        )
    drawn = image.copy()
    colors = choose_colors(result, class_colors)
    line_px = min(4, max(2, round(min(result.image_hw) / 350)))
    masks = [instance.mask for instance in result.instances]
    is_tinted = any(mask.area for mask in masks)
    if not is_tinted:
        masks = [_fill_box(instance) for instance in result.instances]
    shown = [k for k, mask in enumerate(masks) if mask.area]
    # The best score comes last and lies on top.
    for k in sorted(reversed(shown), key=lambda k: result.instances[k].score):
        if is_tinted:
            _draw_tint(drawn, masks[k], colors[k])
        draw_outline(drawn, masks[k], colors[k], line_px)
    for k in shown:
        _draw_trail(drawn, result.instances[k], colors[k], line_px, trails or {})
    if labels:
        draw_labels(
            drawn,
            [Label(make_text(result, result.instances[k]), colors[k], masks[k]) for k in shown],
        )
    return drawn


def choose_colors(result: Result, class_colors: Sequence[RgbColor] | None = None) -> list[RgbColor]:
    """Chooses the color of each instance.

    Args:
        result: Any result.
        class_colors: RGB for each class; by default those of the palette.

    Returns:
        By track on videos, by class where the result has several or colors are given, else by
        instance.
    """
    by_class = class_colors is not None or len(result.class_names) > 1
    own = class_colors if class_colors is not None else get_class_colors(result.class_names)
    return [
        get_instance_color(index if instance.track_id is None else instance.track_id)
        if instance.track_id is not None or not by_class
        else own[instance.class_index]
        for index, instance in enumerate(result.instances)
    ]


def make_text(result: Result, instance: Instance) -> str:
    """Makes the text of an instance's label: class and score, on videos the track's id, too."""
    name = result.class_names[instance.class_index]
    if instance.track_id is not None:
        return f"{name} #{instance.track_id} {instance.score:.2f}"
    return f"{name} {instance.score:.2f}"


def _fill_box(instance: Instance) -> Mask:
    """Makes the mask of all pixels in an instance's box."""
    height, width = instance.mask.image_hw
    x1, y1, x2, y2 = instance.box_xyxy
    left, right = (round(min(max(x, 0), width)) for x in (x1, x2))
    top, bottom = (round(min(max(y, 0), height)) for y in (y1, y2))
    hw = max(bottom - top, 0), max(right - left, 0)
    return Mask((height, width), (left, top), np.ones(hw, np.bool_))


def _draw_tint(image: RgbImage, mask: Mask, color: RgbColor) -> None:
    left, top, right, bottom = mask.xyxy
    window = image[top:bottom, left:right]
    tint = np.full_like(window, color)
    tinted = cv2.addWeighted(window, 1 - FILL_OPACITY, tint, FILL_OPACITY, 0)
    cv2.copyTo(tinted, mask.crop.view(np.uint8), window)


def draw_outline(image: RgbImage, mask: Mask, color: RgbColor, line_px: int) -> None:
    """Draws a smooth line along a mask's border, half of it on each side.

    OpenCV's own lines are 1, 3, 5, ... pixels wide. A thick line would fill what is only a few
    pixels wide: there it is thinner.

    Args:
        image: (H, W, 3) uint8, RGB, drawn on.
        mask: A mask on it that is not empty.
        color: RGB.
        line_px: Width of the line, in pixels.
    """
    left, top, right, bottom = mask.xyxy
    line_px = max(1, min(line_px, min(mask.crop.shape) // 6))
    pad = line_px
    padded = cv2.copyMakeBorder(
        mask.crop.view(np.uint8) * np.uint8(255), pad, pad, pad, pad, cv2.BORDER_CONSTANT
    )
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (line_px + 1, line_px + 1))
    line = cv2.GaussianBlur(cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, kernel), (3, 3), 0.5)
    x, y = max(left - pad, 0), max(top - pad, 0)
    window = image[y : bottom + pad, x : right + pad]
    line = line[y - top + pad :, x - left + pad :][: window.shape[0], : window.shape[1]]
    rows, columns = np.nonzero(line)
    alpha = line[rows, columns, None].astype(np.float32) / 255
    window[rows, columns] = np.rint(window[rows, columns] * (1 - alpha) + alpha * np.array(color))


def _draw_trail(
    image: RgbImage,
    instance: Instance,
    color: RgbColor,
    line_px: int,
    trails: Mapping[int, Sequence[PointXy]],
) -> None:
    """Draws the path of a track's centroid over the last frames."""
    trail = () if instance.track_id is None else trails.get(instance.track_id, ())
    if len(trail) > 1:
        path = np.array(trail, np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [path], False, color, line_px, cv2.LINE_AA)
