"""Draws a sample of the results on one picture, for a first check by eye."""

from __future__ import annotations

import dataclasses
import heapq
import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ...engine.images import decode_image
from ...engine.results import Instance, Mask, Result
from ..shard_files import LabeledImage
from .data_set import LabeledDataSet

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
    cells = []
    for item in sample:
        count = len(item.image.instances)
        caption = f"{item.image.name[-38:]}: {count} instance{'' if count == 1 else 's'}"
        cells.append((_draw_cell(data_set, item.image), caption))
    data_set.out.write_bytes(FILE, paste_cells(cells, COLUMNS))
    return [FILE]


def paste_cells(cells: Sequence[tuple[Image.Image, str]], most_columns: int) -> bytes:
    """Pastes pictures of at most :data:`CELL_PX` with captions into rows.

    Args:
        cells: Pictures and captions.
        most_columns: Pictures of a row.

    Returns:
        A PNG.
    """
    columns = min(most_columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * CELL_PX, rows * (CELL_PX + CAPTION_PX)), _GROUND)
    for place, (cell, caption) in enumerate(cells):
        x, y = place % columns * CELL_PX, place // columns * (CELL_PX + CAPTION_PX)
        sheet.paste(cell, (x + (CELL_PX - cell.width) // 2, y + (CELL_PX - cell.height) // 2))
        ImageDraw.Draw(sheet).text(
            (x + 4, y + CELL_PX + 3), caption, (230, 230, 230), _load_font(13)
        )
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    return buffer.getvalue()


def draw_result(pixels: npt.NDArray[np.uint8], result: Result) -> Image.Image:
    """Draws instances on an image made small first, so that lines and labels keep their size."""
    scale = (CELL_PX - 8) / max(result.image_hw)
    height, width = (max(1, round(side * scale)) for side in result.image_hw)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    instances = []
    for found in result.instances:
        x1, y1, x2, y2 = (value * scale for value in found.box_xyxy)
        mask = _resize(found.mask, (height, width))
        instances.append(dataclasses.replace(found, box_xyxy=(x1, y1, x2, y2), mask=mask))
    shown = Result((height, width), result.class_names, tuple(instances))
    return Image.fromarray(shown.plot(np.asarray(small)))


def _draw_cell(data_set: LabeledDataSet, image: LabeledImage) -> Image.Image:
    try:
        content = data_set.source.read_bytes(image.name)
        pixels = decode_image(io.BytesIO(content))
        if pixels.shape[:2] != image.hw:
            raise ValueError("the file is another one by now")
    except (OSError, ValueError) as error:
        cell = Image.new("RGB", (CELL_PX - 8, CELL_PX - 8), (60, 20, 20))
        ImageDraw.Draw(cell).text((8, 8), str(error)[:60], (255, 255, 255), _load_font(13))
        return cell
    index_by_id = {category.id: index for index, category in enumerate(data_set.categories)}
    instances = tuple(
        Instance(
            index_by_id[found.category_id], found.score, found.box_xyxy, image.decode_mask(found)
        )
        for found in image.instances
    )
    names = tuple(category.name for category in data_set.categories)
    return draw_result(pixels, Result(image.hw, names, instances))


def _resize(mask: Mask, hw: tuple[int, int]) -> Mask:
    full = cv2.resize(mask.full().view(np.uint8), hw[::-1], interpolation=cv2.INTER_AREA)
    return Mask.from_full(full.astype(np.bool_))


def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
