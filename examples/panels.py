"""Lays pictures side by side with titles, for the demo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

PICTURE_WIDTH_PX = 560
MARGIN_PX = 28
TITLE_SIZE, LEGEND_SIZE = 22, 17
_PAGE, _INK, _QUIET, _MARK = "#f5f6f8", "#1d2330", "#697083", "#ffffff"


@dataclasses.dataclass(frozen=True)
class Panel:
    """A picture with what is said of it.

    Attributes:
        title: Goes above it.
        legend: Goes below it: colored entries, RGB and text.
        image: (H, W, 3) uint8, RGB.
        point_xy: A click to mark, in pixels of the image.
        box_xyxy: A box to mark, in pixels of the image.
    """

    title: str
    legend: Sequence[tuple[tuple[int, int, int], str]]
    image: npt.NDArray[np.uint8]
    point_xy: tuple[int, int] | None = None
    box_xyxy: tuple[int, int, int, int] | None = None


def side_by_side(panels: Sequence[Panel]) -> Image.Image:
    """Lays panels out from left to right.

    Args:
        panels: Panels with pictures of one size.

    Returns:
        The page.
    """
    pictures = [_marked(panel) for panel in panels]
    height = max(picture.height for picture in pictures)
    title_height, legend_height = TITLE_SIZE + 14, LEGEND_SIZE + 12
    page = Image.new(
        "RGB",
        (
            MARGIN_PX + len(panels) * (PICTURE_WIDTH_PX + MARGIN_PX),
            2 * MARGIN_PX + title_height + height + legend_height,
        ),
        _PAGE,
    )
    draw = ImageDraw.Draw(page)
    left, top = MARGIN_PX, MARGIN_PX + title_height
    for panel, picture in zip(panels, pictures, strict=True):
        _write(draw, (left, MARGIN_PX), panel.title, TITLE_SIZE, _INK)
        page.paste(picture, (left, top), _rounded(picture.size))
        _write_legend(draw, (left, top + height + 12), panel.legend)
        left += PICTURE_WIDTH_PX + MARGIN_PX
    return page


def _marked(panel: Panel) -> Image.Image:
    """The picture at its final size, with the prompt drawn on it."""
    image = Image.fromarray(panel.image)
    scale = PICTURE_WIDTH_PX / image.width
    size = (PICTURE_WIDTH_PX, max(1, round(image.height * scale)))
    picture = image.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    if panel.point_xy is not None:
        x, y = ((value + 0.5) * scale for value in panel.point_xy)
        for radius, color in ((9, _INK), (7, _MARK), (4, _INK)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    if panel.box_xyxy is not None:
        box = [value * scale for value in panel.box_xyxy]
        draw.rectangle((box[0] - 3, box[1] - 3, box[2] + 2, box[3] + 2), outline=_INK, width=5)
        draw.rectangle((box[0] - 2, box[1] - 2, box[2] + 1, box[3] + 1), outline=_MARK, width=3)
    return picture


def _rounded(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 40, fill=255)
    return mask.resize(size, Image.Resampling.LANCZOS)


def _write_legend(
    draw: ImageDraw.ImageDraw,
    xy: tuple[int, int],
    legend: Sequence[tuple[tuple[int, int, int], str]],
) -> None:
    font = ImageFont.load_default(LEGEND_SIZE)
    x, y = xy
    for color, text in legend:
        width = LEGEND_SIZE + 4 + int(draw.textlength(text, font))
        if x + width > xy[0] + PICTURE_WIDTH_PX:
            break
        dot = (x, y + 3, x + LEGEND_SIZE - 4, y + LEGEND_SIZE - 1)
        draw.rounded_rectangle(dot, 4, fill=color)
        draw.text((x + LEGEND_SIZE + 2, y), text, _QUIET, font)
        x += width + 20


def _write(
    draw: ImageDraw.ImageDraw, xy: tuple[int, int], text: str, size: int, color: str
) -> None:
    font = ImageFont.load_default(size)
    while draw.textlength(text, font) > PICTURE_WIDTH_PX and len(text) > 4:
        text = text[:-4] + "..."
    draw.text(xy, text, color, font)
