"""Writes COCO instance annotations as a stream: the file may be larger than the memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from .data_set import ExportedImage, LabeledDataSet, Split

FILE = "annotations.json"


def export_coco(data_set: LabeledDataSet) -> list[str]:
    """Writes ``annotations.json``; with a ``val`` share one file for each split, too.

    Masks are compressed run lengths (``iscrowd`` 0), which ``pycocotools`` and what is built
    on it read. ``score`` is kept. A job without masks gives boxes, and their areas.

    Args:
        data_set: What to write.

    Returns:
        Names of the files written.
    """
    names = [FILE]
    _write(data_set, FILE, None)
    if data_set.val_share:
        for split in data_set.splits:
            names.append(f"annotations_{split}.json")
            _write(data_set, names[-1], split)
    return names


def _write(data_set: LabeledDataSet, name: str, split: Split | None) -> None:
    def read() -> Iterator[ExportedImage]:
        return (item for item in data_set.read() if split in (None, item.split))

    info = {"description": f"Labeled by SAM 3 (model {data_set.model_name})"}
    categories = [{"id": category.id, "name": category.name} for category in data_set.categories]
    with data_set.out.open_to_replace(name) as file:
        file.write(b'{"info": ' + _to_json(info) + b',\n"categories": ' + _to_json(categories))
        # Two walks over the shards: no list of the data set's length is held.
        file.write(b',\n"images": [')
        _write_items(file, (_make_image(item) for item in read()))
        file.write(b'],\n"annotations": [')
        _write_items(file, (record for item in read() for record in _make_annotations(item)), True)
        file.write(b"]}\n")


def _make_image(item: ExportedImage) -> dict[str, Any]:
    height, width = item.image.hw
    return {"id": item.id, "width": width, "height": height, "file_name": item.image.name}


def _make_annotations(item: ExportedImage) -> Iterator[dict[str, Any]]:
    for instance in item.image.instances:
        left, top, right, bottom = instance.box_xyxy
        width, height = right - left, bottom - top
        record = {
            "image_id": item.id,
            "category_id": instance.category_id,
            "bbox": [left, top, width, height],
            "area": instance.area_px,
            "iscrowd": 0,
            "score": instance.score,
        }
        if instance.rle_counts is None:
            yield record | {"area": width * height}
        else:
            rle = {"size": list(item.image.hw), "counts": instance.rle_counts}
            yield record | {"segmentation": rle}


def _write_items(file: IO[bytes], items: Iterable[dict[str, Any]], numbered: bool = False) -> None:
    for index, item in enumerate(items):
        record = {"id": index + 1, **item} if numbered else item
        file.write((b",\n" if index else b"\n") + _to_json(record))


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
