"""Draws a sample of the results on one picture, for a first check by eye."""

from __future__ import annotations

import heapq
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ...engine.drawing.palette import RgbColor, get_class_colors
from ...engine.images import decode_image
from ..shard_files import LabeledImage
from .data_set import ExportedImage, LabeledDataSet

FILE = "contact_sheet.png"
COLUMNS, ROWS = 4, 4
CELL_PX = 360
CAPTION_PX = 20
_OPACITY = 0.45
_GROUND = (24, 24, 24)


def draw_contact_sheet(data_set: LabeledDataSet) -> list[str]:
    """Draws up to 16 images with their instances, and writes the picture.

    The sample depends on the images' content alone: the same data set gives the same picture.

    Args:
        data_set: What to show.

    Returns:
        Name of the file written; none where nothing was labeled.
    """
    sample = heapq.nsmallest(COLUMNS * ROWS, data_set.read(), key=lambda item: item.image.sha256)
    if not sample:
        return []
    names = {category.id: category.name for category in data_set.categories}
    colors = dict(zip(names, get_class_colors(names.values()), strict=True))
    columns = min(COLUMNS, len(sample))
    rows = -(-len(sample) // columns)
    sheet = Image.new("RGB", (columns * CELL_PX, rows * (CELL_PX + CAPTION_PX)), _GROUND)
    for place, item in enumerate(sample):
        x, y = place % columns * CELL_PX, place // columns * (CELL_PX + CAPTION_PX)
        cell = _draw_cell(data_set, item, names, colors)
        sheet.paste(cell, (x + (CELL_PX - cell.width) // 2, y + (CELL_PX - cell.height) // 2))
        count = len(item.image.instances)
        caption = f"{item.image.name[-38:]}: {count} instance{'' if count == 1 else 's'}"
        ImageDraw.Draw(sheet).text(
            (x + 4, y + CELL_PX + 3), caption, (230, 230, 230), _load_font(13)
        )
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    data_set.out.write_bytes(FILE, buffer.getvalue())
    return [FILE]


def _draw_cell(
    data_set: LabeledDataSet,
    item: ExportedImage,
    names: dict[int, str],
    colors: dict[int, RgbColor],
) -> Image.Image:
    try:
        content = data_set.source.read_bytes(item.image.name)
        pixels = decode_image(io.BytesIO(content))
        if pixels.shape[:2] != item.image.hw:
            raise ValueError("the file is another one by now")
    except (OSError, ValueError) as error:
        cell = Image.new("RGB", (CELL_PX - 8, CELL_PX - 8), (60, 20, 20))
        ImageDraw.Draw(cell).text((8, 8), str(error)[:60], (255, 255, 255), _load_font(13))
        return cell
    shown = Image.fromarray(_tint_mask(pixels, item.image, colors))
    scale = (CELL_PX - 8) / max(shown.size)
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    shown = shown.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(shown)
    for instance in item.image.instances:
        box = [value * scale for value in instance.box_xyxy]
        color = colors[instance.category_id]
        draw.rectangle(box, outline=color, width=2)
        text = f"{names[instance.category_id]} {instance.score:.2f}"
        _, _, right, bottom = draw.textbbox((0, 0), text, font=_load_font(12))
        x = min(max(box[0], 0), max(shown.width - right - 4, 0))
        y = max(box[1] - bottom - 4, 0)
        draw.rectangle((x, y, x + right + 4, y + bottom + 3), fill=color)
        luminance = 0.3 * color[0] + 0.6 * color[1] + 0.1 * color[2]
        draw.text((x + 2, y + 1), text, "black" if luminance > 128 else "white", _load_font(12))
    return shown


def _tint_mask(
    pixels: npt.NDArray[np.uint8], image: LabeledImage, colors: dict[int, RgbColor]
) -> npt.NDArray[np.uint8]:
    tinted = pixels.copy()
    for instance in image.instances:
        mask = image.decode_mask(instance)
        left, top, right, bottom = mask.xyxy
        window = tinted[top:bottom, left:right]
        color = np.array(colors[instance.category_id])
        mixed = window[mask.crop] * (1 - _OPACITY) + color * _OPACITY
        window[mask.crop] = mixed.astype(np.uint8)
    return tinted


def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
