"""Writes masks as PNG files: a map of classes and a map of instances for each image."""

from __future__ import annotations

import io
import json

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...engine.drawing.palette import get_class_colors
from .data_set import ExportedImage, LabeledDataSet

FOLDER = "png"
MAX_CLASSES = 255
MAX_INSTANCES = 65_535


def export_png(data_set: LabeledDataSet) -> list[str]:
    """Writes ``png/classes/NAME.png`` and ``png/instances/NAME.png`` for each image.

    Value k of a map of classes is the k-th category, 0 the background, shown in the colors of
    the classes; of a map of instances (16 bits) the k-th instance of the image. Where instances
    overlap, the better-scored one is on top. ``NAME`` is the image's name with its suffix.

    Args:
        data_set: What to write.

    Returns:
        Name of the file that says which value is which class.

    Raises:
        ValueError: If there are more than 255 categories.
    """
    if len(data_set.categories) > MAX_CLASSES:
        raise ValueError(
            f"formats: expected at most {MAX_CLASSES} categories for png, "
            f"got {len(data_set.categories)}"
        )
    values = {category.id: index for index, category in enumerate(data_set.categories, start=1)}
    names = [category.name for category in data_set.categories]
    colors = [(0, 0, 0), *get_class_colors(names)]
    for item in data_set.read():
        classes, instances = _draw_maps(item, values)
        picture = Image.fromarray(classes)
        picture.putpalette([channel for color in colors for channel in color])
        name = f"{item.image.name.strip('/')}.png"
        data_set.out.write_bytes(f"{FOLDER}/classes/{name}", _to_png(picture))
        data_set.out.write_bytes(f"{FOLDER}/instances/{name}", _to_png(Image.fromarray(instances)))
    legend = {0: "background", **dict(enumerate(names, start=1))}
    content = json.dumps(legend, indent=2, ensure_ascii=False).encode()
    data_set.out.write_bytes(f"{FOLDER}/classes.json", content)
    return [f"{FOLDER}/classes.json"]


def _draw_maps(
    item: ExportedImage, values: dict[int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    classes = np.zeros(item.image.hw, np.uint8)
    instances = np.zeros(item.image.hw, np.uint16)
    numbered = list(enumerate(item.image.instances[:MAX_INSTANCES], start=1))
    for number, instance in sorted(numbered, key=lambda pair: pair[1].score):
        mask = item.image.decode_mask(instance)
        left, top, right, bottom = mask.xyxy
        window = slice(top, bottom), slice(left, right)
        classes[window][mask.crop] = values[instance.category_id]
        instances[window][mask.crop] = number
    return classes, instances


def _to_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()
