"""Draws a sample of the results on one picture, for a first check by eye."""

from __future__ import annotations

import heapq
import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...engine.drawing.overlay import draw_result
from ...engine.images import decode_image
from ...engine.results import Instance, Mask, Result
from ..shard_files import LabeledImage
from .data_set import ExportedImage, LabeledDataSet

FILE = "contact_sheet.png"
COLUMNS, ROWS = 4, 4
CELL_PX = 360
CAPTION_PX = 20
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
    columns = min(COLUMNS, len(sample))
    rows = -(-len(sample) // columns)
    sheet = Image.new("RGB", (columns * CELL_PX, rows * (CELL_PX + CAPTION_PX)), _GROUND)
    for place, item in enumerate(sample):
        x, y = place % columns * CELL_PX, place // columns * (CELL_PX + CAPTION_PX)
        cell = _draw_cell(data_set, item, names)
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


def _draw_cell(data_set: LabeledDataSet, item: ExportedImage, names: dict[int, str]) -> Image.Image:
    try:
        content = data_set.source.read_bytes(item.image.name)
        pixels = decode_image(io.BytesIO(content))
        if pixels.shape[:2] != item.image.hw:
            raise ValueError("the file is another one by now")
    except (OSError, ValueError) as error:
        cell = Image.new("RGB", (CELL_PX - 8, CELL_PX - 8), (60, 20, 20))
        ImageDraw.Draw(cell).text((8, 8), str(error)[:60], (255, 255, 255), _load_font(13))
        return cell
    shown = Image.fromarray(pixels)
    scale = (CELL_PX - 8) / max(shown.size)
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    small = np.asarray(shown.resize(size, Image.Resampling.LANCZOS))
    return Image.fromarray(draw_result(small, _shrink(item.image, size, scale, names)))


def _shrink(
    image: LabeledImage, size_wh: tuple[int, int], scale: float, names: dict[int, str]
) -> Result:
    """Makes the result of an image at another size; a box stands for a mask that is missing."""
    index_by_id = {category_id: index for index, category_id in enumerate(names)}
    instances = []
    for labeled in image.instances:
        left, top, right, bottom = (value * scale for value in labeled.box_xyxy)
        full = np.zeros(size_wh[::-1], np.uint8)
        if labeled.rle_counts is None:
            rows = slice(max(round(top), 0), round(bottom))
            full[rows, max(round(left), 0) : round(right)] = 1
        else:
            mask = image.decode_mask(labeled).full().view(np.uint8)
            cv2.resize(mask, size_wh, dst=full, interpolation=cv2.INTER_NEAREST)
        instances.append(
            Instance(
                index_by_id[labeled.category_id],
                labeled.score,
                (left, top, right, bottom),
                Mask.from_full(full.view(np.bool_)),
            )
        )
    return Result(size_wh[::-1], tuple(names.values()), tuple(instances))


def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
