"""Writes Label Studio's import JSON: tasks with the masks as predictions to be corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from ...engine.export.brush_rle import encode_brush_rle
from .data_set import ExportedImage, LabeledDataSet

TASKS_FILE = "label_studio/tasks.json"
CONFIG_FILE = "label_studio/labeling_config.xml"
IMAGE_PREFIX = "/data/local-files/?d="
"""Where Label Studio looks for files of its own machine, below its document root."""


def export_label_studio(data_set: LabeledDataSet) -> list[str]:
    """Writes tasks to import, and the labeling configuration they belong to.

    The images are named as local files (``LOCAL_FILES_SERVING_ENABLED=true`` and
    ``LOCAL_FILES_DOCUMENT_ROOT`` set to the folder of the images); those of a bucket by their
    addresses.

    Args:
        data_set: What to write.

    Returns:
        Names of the files written.
    """
    names = {category.id: category.name for category in data_set.categories}
    with data_set.out.open_to_replace(TASKS_FILE) as file:
        file.write(b"[")
        for index, item in enumerate(data_set.read()):
            task = _to_task(data_set, item, names)
            file.write(b",\n" if index else b"\n")
            file.write(json.dumps(task, ensure_ascii=False, separators=(",", ":")).encode())
        file.write(b"\n]\n")
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names.values())
    config = (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="tag" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )
    data_set.out.write_bytes(CONFIG_FILE, config.encode())
    return [TASKS_FILE, CONFIG_FILE]


def _to_task(
    data_set: LabeledDataSet, item: ExportedImage, names: dict[int, str]
) -> dict[str, Any]:
    scores = [instance.score for instance in item.image.instances]
    prediction = {
        "model_version": data_set.model_name,
        "score": sum(scores) / len(scores) if scores else 0.0,
        "result": list(_to_regions(item, names)),
    }
    image = data_set.source.get_address(item.image.name)
    if image is None:
        image = IMAGE_PREFIX + quote(item.image.name)
    return {"data": {"image": image, "split": item.split}, "predictions": [prediction]}


def _to_regions(item: ExportedImage, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    height, width = item.image.hw
    for index, instance in enumerate(item.image.instances):
        if instance.area_px:
            rle = encode_brush_rle(item.image.decode_mask(instance).full())
            label = names[instance.category_id]
            yield {
                "id": f"{item.id}_{index + 1}",
                "type": "brushlabels",
                "from_name": "tag",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": instance.score,
                "value": {"format": "rle", "rle": rle, "brushlabels": [label]},
            }
