"""Writes YOLO segmentation folders: ``images/``, ``labels/`` and ``data.yaml``."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path

from ...engine.export.polygons import mask_to_polygon
from .data_set import ExportedImage, LabeledDataSet

FOLDER = "yolo"


def export_yolo(data_set: LabeledDataSet) -> list[str]:
    """Writes the folders that Ultralytics trains on and ``supervision`` reads.

    An instance is one line: its class and one polygon, the parts of a mask joined by bridges.
    Images are links to the originals where both are on this machine, else copies. Names are
    made flat and unique: YOLO finds an image's labels by its name without the suffix.

    Args:
        data_set: What to write.

    Returns:
        Name of the file that a training is pointed at.
    """
    classes = {category.id: index for index, category in enumerate(data_set.categories)}
    taken: set[str] = set()
    for item in data_set.read():
        name = _flatten_name(item, taken)
        lines = "".join(line + "\n" for line in _make_lines(item, classes))
        stem = posixpath.splitext(name)[0]
        data_set.out.write_bytes(f"{FOLDER}/labels/{item.split}/{stem}.txt", lines.encode())
        _place_image(data_set, item, f"{FOLDER}/images/{item.split}/{name}")
    content = [f"path: {json.dumps(data_set.out.get_path(FOLDER))}", "train: images/train"]
    # Ultralytics wants a val entry; without a share it is the training images again.
    content += [f"val: images/{data_set.splits[-1]}", "names:"]
    content += [
        f"  {index}: {json.dumps(category.name, ensure_ascii=False)}"
        for index, category in enumerate(data_set.categories)
    ]
    data_set.out.write_bytes(f"{FOLDER}/data.yaml", ("\n".join(content) + "\n").encode())
    return [f"{FOLDER}/data.yaml"]


def _make_lines(item: ExportedImage, classes: dict[int, int]) -> Iterator[str]:
    height, width = item.image.hw
    for instance in item.image.instances:
        flat = mask_to_polygon(item.image.decode_mask(instance))
        if flat:
            scaled = (value / (height if index % 2 else width) for index, value in enumerate(flat))
            yield f"{classes[instance.category_id]} " + " ".join(f"{v:.6g}" for v in scaled)


def _flatten_name(item: ExportedImage, taken: set[str]) -> str:
    stem, suffix = posixpath.splitext(item.image.name.strip("/").replace("/", "_"))
    if stem in taken:
        stem = f"{stem}_{item.id}"
    taken.add(stem)
    return stem + suffix


def _place_image(data_set: LabeledDataSet, item: ExportedImage, name: str) -> None:
    original = data_set.source.get_local_path(item.image.name)
    if data_set.out.is_local and original is not None:
        link = data_set.out.get_local_path(name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a file system without links
            link.symlink_to(Path(original))
            return
    data_set.out.write_bytes(name, data_set.source.read_bytes(item.image.name))
