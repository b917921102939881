"""Makes the pictures that a language model is sent: numbered candidates, and close views."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from ..engine.drawing.labels import draw_chip
from ..engine.drawing.overlay import draw_outline
from ..engine.drawing.palette import get_instance_color
from ..engine.images import RgbImage
from ..engine.results import Instance, Mask
from .chat import Message

JPEG_QUALITY = 90
LINE_PX = 3
FONT_PX = 18
"""Of the numbers; not below what models read at their usual size of 512 to 1024 px."""

NEAR_MARGIN = 0.5
"""Of a close view, on each side, as a share of the instance's longer side."""


def encode_picture(image: RgbImage) -> Message:
    """Encodes pixels as a part of a message: JPEG without metadata, in a data URL.

    Args:
        image: (H, W, 3) uint8, RGB.

    Returns:
        The part, of type ``image_url``.
    """
    from PIL import Image

    file = io.BytesIO()
    # From an array: there is neither EXIF nor a color profile nor a name to go with it.
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def shrink(image: RgbImage, side_px: int) -> RgbImage:
    """Shrinks an image so that its longer side is at most ``side_px``; never enlarges it."""
    import cv2

    height, width = image.shape[:2]
    factor = side_px / max(height, width)
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def draw_candidates(image: RgbImage, candidates: Sequence[Instance], side_px: int) -> RgbImage:
    """Draws an outline and a number for each candidate, 1 for the first.

    Args:
        image: (H, W, 3) uint8, RGB: what they were found on.
        candidates: Instances on it, with masks that are not empty.
        side_px: Longer side of the picture.

    Returns:
        A new image, of the smaller size, so that lines and numbers keep theirs.
    """
    drawn = shrink(image, side_px).copy()
    masks = [shrink_mask(candidate.mask, drawn.shape[:2]) for candidate in candidates]
    for k, mask in enumerate(masks):
        draw_outline(drawn, mask, get_instance_color(k), LINE_PX)
    # The largest first: the number of a small one in it stays in sight.
    for k in sorted(range(len(masks)), key=lambda k: -masks[k].area):
        place = _find_inner_point(masks[k])
        draw_chip(drawn, str(k + 1), get_instance_color(k), place, FONT_PX)
    return drawn


def draw_near(image: RgbImage, candidate: Instance, number: int, side_px: int) -> RgbImage:
    """Cuts a candidate out, with its surroundings and its outline.

    Args:
        image: (H, W, 3) uint8, RGB: what it was found on.
        candidate: The candidate.
        number: Its number, which chooses the color of its outline.
        side_px: Longer side of the picture.

    Returns:
        A new image.
    """
    left, top, right, bottom = candidate.mask.xyxy
    margin = round(NEAR_MARGIN * max(right - left, bottom - top)) + 8
    x, y = max(0, left - margin), max(0, top - margin)
    window = image[y : bottom + margin, x : right + margin]
    inside = candidate.mask.full()[y : bottom + margin, x : right + margin]
    drawn = shrink(window, side_px).copy()
    mask = shrink_mask(Mask.from_full(inside), drawn.shape[:2])
    draw_outline(drawn, mask, get_instance_color(number - 1), LINE_PX)
    return drawn


def shrink_mask(mask: Mask, hw: tuple[int, ...]) -> Mask:
    """Resizes a mask to a picture of that height and width; a thin one does not vanish."""
    import cv2

    if mask.image_hw == tuple(hw):
        return mask
    full = mask.full().astype(np.float32)
    share = cv2.resize(full, (hw[1], hw[0]), interpolation=cv2.INTER_AREA)
    inside = share >= 0.5
    return Mask.from_full(inside if inside.any() else share > 0)


def _find_inner_point(mask: Mask) -> tuple[float, float]:
    """Finds the pixel of a mask that is farthest from its border, (x, y)."""
    import cv2

    padded = np.pad(mask.crop.view(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return mask.origin_xy[0] + float(x) - 0.5, mask.origin_xy[1] + float(y) - 0.5


def list_candidates(candidates: Sequence[tuple[str, Instance]]) -> str:
    """Lists candidates with number, phrase, box, area and score, a line each.

    Args:
        candidates: The phrase that found each, and the instance.

    Returns:
        The lines; boxes and areas are in percent of the picture.
    """
    lines = []
    for number, (phrase, instance) in enumerate(candidates, start=1):
        height, width = instance.mask.image_hw
        left, top, right, bottom = instance.mask.compute_main_box()
        area = 100 * instance.mask.area / (height * width)
        lines.append(
            f"{number}: {phrase}, left {100 * left / width:.1f}, top {100 * top / height:.1f}, "
            f"right {100 * right / width:.1f}, bottom {100 * bottom / height:.1f}, "
            f"area {area:.2f}, score {instance.score:.2f}"
        )
    return "\n".join(lines)
