"""Draws the tracks of a video: their colors, ids and trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ...engine.export.palette import RgbColor, get_track_color
from ...engine.results import Instance, Result
from ...engine.validation import PointXy

RgbImage = npt.NDArray[np.uint8]


def get_color(instance: Instance, class_colors: Sequence[RgbColor]) -> RgbColor:
    """Returns the color of an instance's track; on an image, that of its class."""
    if instance.track_id is not None:
        return get_track_color(instance.track_id)
    return class_colors[instance.class_index]


def draw_tracks(image: RgbImage, result: Result, trails: Mapping[int, Sequence[PointXy]]) -> None:
    """Draws the id and the trail of each track in view.

    Args:
        image: (H, W, 3) uint8, RGB, drawn on.
        result: Of the frame.
        trails: Centroids of each track on the last frames, oldest first.
    """
    thickness_px = max(1, round(min(image.shape[:2]) / 200))
    for instance in result.instances:
        if instance.track_id is not None:
            color = get_track_color(instance.track_id)
            _draw_trail(image, trails.get(instance.track_id, ()), color, thickness_px)
            _draw_track_id(image, instance, color)


def _draw_trail(
    image: RgbImage, trail: Sequence[PointXy], color: RgbColor, thickness_px: int
) -> None:
    """Draws the path of a track's centroid over the last frames."""
    path = np.array(trail, np.int32).reshape(-1, 1, 2)
    if len(path) > 1:
        cv2.polylines(image, [path], False, color, thickness_px, cv2.LINE_AA)


def _draw_track_id(image: RgbImage, instance: Instance, color: RgbColor) -> None:
    """Writes a track's id on a box of its color at the top left of its mask."""
    scale = max(0.4, min(image.shape[:2]) / 900)
    thickness_px = max(1, round(scale * 1.5))
    text, font = str(instance.track_id), cv2.FONT_HERSHEY_SIMPLEX
    (width, height), base = cv2.getTextSize(text, font, scale, thickness_px)
    left, top = instance.mask.xyxy[:2]
    left = min(max(0, left), max(0, image.shape[1] - width - 4))
    bottom = max(height + base + 2, top)
    cv2.rectangle(image, (left, bottom - height - base - 2), (left + width + 4, bottom), color, -1)
    is_bright = sum(color) > 420
    ink = (0, 0, 0) if is_bright else (255, 255, 255)
    cv2.putText(image, text, (left + 2, bottom - base), font, scale, ink, thickness_px, cv2.LINE_AA)
