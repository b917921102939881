"""Draws labels as small filled chips, placed so that none covers another."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..images import RgbImage
from ..results import Mask
from .palette import RgbColor, is_bright

MIN_FONT_PX = 12
FONT_SHARE = 0.024
"""Height of the text, as a share of the image's shorter side."""

MAX_WIDTH_RATIO = 2.5
"""A chip wider than so many times its instance is left out."""

LEAST_SHARE = 0.5
"""Labels are drawn if that share of them has room: a crowd with some labels looks torn."""

_OVERSAMPLING = 4


@dataclasses.dataclass(frozen=True)
class Label:
    """Describes the label of an instance.

    Attributes:
        text: What to write.
        color: Fill of the chip, RGB.
        mask: The instance's mask; not empty.
    """

    text: str
    color: RgbColor
    mask: Mask


def draw_labels(image: RgbImage, labels: Sequence[Label]) -> None:
    """Draws the labels that have room, or none where most have not.

    Larger instances come first. A label has room where it covers no other label and no other
    instance, and is not much wider than its own.

    Args:
        image: (H, W, 3) uint8, RGB, drawn on.
        labels: One for each instance.
    """
    height, width = image.shape[:2]
    font_px = max(MIN_FONT_PX, round(FONT_SHARE * min(height, width)))
    # Of the largest part: the middle of several parts may lie on something else.
    boxes = np.array([label.mask.compute_main_box(1.0) for label in labels]).reshape(-1, 4)
    order = sorted(range(len(labels)), key=lambda k: -labels[k].mask.area)
    placed: list[tuple[Label, int, int]] = []
    taken = np.zeros((0, 4), np.int64)
    for k in order:
        chip_hw = _measure_chip(labels[k].text, font_px)
        left, top, right, bottom = boxes[k]
        if chip_hw[1] > MAX_WIDTH_RATIO * (right - left) or chip_hw[0] > 2 * (bottom - top):
            continue
        others = np.delete(boxes, k, axis=0)
        for x, y in _list_places(labels[k].mask, boxes[k], chip_hw, (height, width)):
            place = np.array([x, y, x + chip_hw[1], y + chip_hw[0]])
            if not _overlap(place, taken) and not _hides(place, others):
                taken = np.vstack([taken, place])
                placed.append((labels[k], x, y))
                break
    if len(placed) >= LEAST_SHARE * len(labels):
        for label, x, y in placed:
            _blend(image, _make_chip(label.text, label.color, font_px), x, y)


def draw_chip(
    image: RgbImage, text: str, color: RgbColor, center_xy: tuple[float, float], font_px: int
) -> None:
    """Draws one chip around a point, moved to lie inside the image.

    Args:
        image: (H, W, 3) uint8, RGB, drawn on.
        text: What to write.
        color: Fill of the chip, RGB.
        center_xy: The point, in pixels.
        font_px: Height of the text; smaller where the image has no room for it.
    """
    height, width = _measure_chip(text, font_px)
    if height > image.shape[0] or width > image.shape[1]:
        if font_px > 4:
            draw_chip(image, text, color, center_xy, font_px - 2)
        return
    x = min(max(round(center_xy[0] - width / 2), 0), image.shape[1] - width)
    y = min(max(round(center_xy[1] - height / 2), 0), image.shape[0] - height)
    _blend(image, _make_chip(text, color, font_px), x, y)


def _list_places(
    mask: Mask, box: npt.NDArray[np.int64], chip_hw: tuple[int, int], image_hw: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Lists the places of a chip, the best first: over the mask's largest part, in it, under it."""
    left, top, right, bottom = box.tolist()
    height, width = chip_hw
    middle = (left + right - width) // 2
    # The top of the mask lies seldom in the middle of its box: tips of stars, leaning things.
    x, y = mask.origin_xy
    peak = left + int(np.flatnonzero(mask.crop[top - y, left - x : right - x]).mean()) - width // 2
    rows = (top - height, top + 1, (top + bottom - height) // 2, bottom - height - 1, bottom)
    for y in rows:
        for x in (peak, middle) if y < top else (middle, left, right - width):
            place_x = min(max(x, 0), image_hw[1] - width)
            if place_x >= 0 and 0 <= y <= image_hw[0] - height:
                yield place_x, y


def _overlap(place: npt.NDArray[np.int64], boxes: npt.NDArray[np.int64]) -> bool:
    """Tells whether a place, (4,) xyxy, overlaps one of the boxes, (N, 4)."""
    return bool(np.any((place[:2] < boxes[:, 2:]).all(1) & (boxes[:, :2] < place[2:]).all(1)))


def _hides(place: npt.NDArray[np.int64], boxes: npt.NDArray[np.int64]) -> bool:
    """Tells whether a place, (4,) xyxy, covers more than a quarter of one of the boxes, (N, 4)."""
    shared = np.minimum(place[2:], boxes[:, 2:]) - np.maximum(place[:2], boxes[:, :2])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return bool(np.any(np.prod(np.clip(shared, 0, None), axis=1) > areas / 4))


def _blend(image: RgbImage, chip: npt.NDArray[np.uint8], x: int, y: int) -> None:
    window = image[y : y + chip.shape[0], x : x + chip.shape[1]]
    alpha = chip[..., 3:].astype(np.float32) / 255
    window[:] = np.rint(window * (1 - alpha) + chip[..., :3] * alpha)


@functools.lru_cache(maxsize=8)
def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@functools.lru_cache(maxsize=1024)
def _measure_chip(text: str, font_px: int) -> tuple[int, int]:
    """Measures the height and width of a chip in pixels."""
    return round(font_px * 1.45), round(_load_font(font_px).getlength(text) + font_px * 0.8)


@functools.lru_cache(maxsize=256)
def _make_chip(text: str, color: RgbColor, font_px: int) -> npt.NDArray[np.uint8]:
    """Makes a rounded chip with its text, (h, w, 4) uint8, RGBA."""
    height, width = _measure_chip(text, font_px)
    corners = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    ImageDraw.Draw(corners).rounded_rectangle(
        (0, 0, corners.width - 1, corners.height - 1), font_px * 0.3 * _OVERSAMPLING, 255
    )
    chip = Image.new("RGB", (width, height), color)
    ink = (0, 0, 0) if is_bright(color) else (255, 255, 255)
    ImageDraw.Draw(chip).text((width / 2, height / 2), text, ink, _load_font(font_px), anchor="mm")
    alpha = cv2.resize(np.asarray(corners), (width, height), interpolation=cv2.INTER_AREA)
    return np.dstack([np.asarray(chip), alpha]).astype(np.uint8)
