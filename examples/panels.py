"""Puts pictures with titles side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..engine.images import RgbImage

PANEL_WIDTH_PX = 630
TITLE_PX = 22
GAP_PX = 14
INK = (29, 35, 48)


@dataclasses.dataclass(frozen=True)
class Panel:
    """Holds a picture with its title.

    Attributes:
        title: A few words.
        image: (H, W, 3) uint8, RGB.
    """

    title: str
    image: RgbImage


def mark_point(image: RgbImage, xy: tuple[int, int], is_foreground: bool = True) -> None:
    """Draws a click on an image: a dot with a white ring, or a red one for "not this"."""
    radius_px = max(4, round(min(image.shape[:2]) / 60))
    cv2.circle(image, xy, radius_px + 2, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(image, xy, radius_px, INK if is_foreground else (200, 30, 30), -1, cv2.LINE_AA)


def mark_box(image: RgbImage, xyxy: tuple[int, int, int, int], is_positive: bool = True) -> None:
    """Draws the corners of a prompted box on an image: dark, or red for "not like this"."""
    left, top, right, bottom = xyxy
    length_px = max(6, min(right - left, bottom - top) // 5)
    color = INK if is_positive else (200, 30, 30)
    for ink, width_px in (((255, 255, 255), 7), (color, 3)):
        for x, step_x in ((left, length_px), (right, -length_px)):
            for y, step_y in ((top, length_px), (bottom, -length_px)):
                corner = np.array([(x + step_x, y), (x, y), (x, y + step_y)], np.int32)
                cv2.polylines(image, [corner], False, ink, width_px, cv2.LINE_AA)


def join_panels(panels: Sequence[Panel], columns: int) -> RgbImage:
    """Joins panels in rows, each with its title above.

    Args:
        panels: At least one.
        columns: Panels in a row.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    font = ImageFont.load_default(TITLE_PX)
    pictures = []
    for panel in panels:
        height, width = panel.image.shape[:2]
        scale = PANEL_WIDTH_PX / width
        size = PANEL_WIDTH_PX, max(1, round(height * scale))
        how = Image.Resampling.LANCZOS
        pictures.append(Image.fromarray(panel.image).resize(size, how))
    columns = min(columns, len(panels))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    title_px = round(1.6 * TITLE_PX)
    heights = [title_px + max(picture.height for picture in row) for row in rows]
    size = (
        columns * PANEL_WIDTH_PX + (columns + 1) * GAP_PX,
        sum(heights) + (len(rows) + 1) * GAP_PX,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP_PX
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        left = GAP_PX + column * (PANEL_WIDTH_PX + GAP_PX)
        if column == 0 and row:
            top += heights[row - 1] + GAP_PX
        draw.text((left, top), panels[index].title, INK, font)
        sheet.paste(picture, (left, top + title_px))
    return np.asarray(sheet)
