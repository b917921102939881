"""Reads a COCO data set to score on, and checks it before the model runs."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.images import decode_image
from ...engine.validation import value_error
from ...engine.wording import count_things, list_first
from ..coco import CocoDataSet, read_coco

Record = dict[str, Any]

_EXIF_ORIENTATION = 0x0112
_FIRST_TURNED = 5
"""EXIF orientations from here on lay the image on its side."""


class GroundTruth:
    """Holds the images, categories and annotations of a COCO file.

    Attributes:
        coco: The file for ``pycocotools``. Annotations are numbered from 1, because
            ``COCOeval`` takes one with id 0 for missed, and have compressed run lengths.
        images: Its images, in the order of their ids.
        categories: Its categories, in the order of their ids.
        has_masks: Whether every object has a mask. A crowd without one is its box.
        notes: What was left out, derived or corrected, one sentence each.
    """

    def __init__(self, annotations: str, images: str, limit: int = 0) -> None:
        """Reads and checks a data set.

        Args:
            annotations: Path of a COCO file with ``segmentation`` or ``bbox``.
            images: Folder of its images.
            limit: Use the first images only; 0 for all.

        Raises:
            ValueError: If the file is no COCO file, or an image is not there.
        """
        self._folder = Path(images)
        data_set = read_coco("coco", annotations, self._read_size).take_first(limit)
        unmasked = [a.id for a in data_set.annotations if a.mask is None and not a.is_crowd]
        self.has_masks = not unmasked
        notes = list(data_set.notes)
        if unmasked:
            ids = f"{count_things(len(unmasked), 'annotation')} without one: {list_first(unmasked)}"
            notes.append(f"scores of masks left out, which need a mask for each object ({ids})")
        self.notes = tuple(notes)
        self.images: list[Record] = [
            {"id": i.id, "file_name": i.file_name, "height": i.hw[0], "width": i.hw[1]}
            for i in data_set.images
            if i.hw is not None
        ]
        self.categories: list[Record] = [
            {"id": c.id, "name": c.name} for c in sorted(data_set.categories, key=lambda c: c.id)
        ]
        self.coco = _index(data_set, self.images, self.categories, self.has_masks)
        for image in self.images:
            if not self.get_path(image).is_file():
                expected = "the folder of the images (one is not there)"
                raise value_error("images", expected, os.fspath(self.get_path(image)))

    def _read_size(self, file_name: str) -> tuple[int, int]:
        """Reads height and width of an image, turned as its EXIF orientation says."""
        from PIL import Image

        try:
            with Image.open(self._folder / file_name) as image:
                width, height = image.size
                orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = getattr(error, "strerror", None) or "no image of a known format"
            raise ValueError(reason) from error
        is_turned = isinstance(orientation, int) and orientation >= _FIRST_TURNED
        return (width, height) if is_turned else (height, width)

    def get_path(self, image: Record) -> Path:
        """Returns the path of an image."""
        return self._folder / image["file_name"]

    def read_pixels(self, image: Record) -> npt.NDArray[np.uint8]:
        """Decodes an image.

        Raises:
            ValueError: If it cannot be decoded, or is not of the size the file says.
        """
        pixels = decode_image(str(self.get_path(image)))
        height, width = pixels.shape[:2]
        if (height, width) != (image["height"], image["width"]):
            raise ValueError(
                f"images: expected {image['file_name']} of {image['width']} x "
                f"{image['height']} pixels as the COCO file says, got {width} x {height}"
            )
        return pixels

    def get_annotations(self, image: Record) -> list[Record]:
        """Returns the annotations of an image that mean one object each (no crowds)."""
        return [a for a in self.coco.imgToAnns[image["id"]] if not a["iscrowd"]]

    def get_masks(self, image: Record) -> Iterator[tuple[Record, npt.NDArray[np.bool_]]]:
        """Yields the annotations of an image that have masks, each with its (H, W) bool mask."""
        for annotation in self.get_annotations(image):
            if "segmentation" in annotation:
                yield annotation, self.coco.annToMask(annotation).astype(bool)


def _index(
    data_set: CocoDataSet, images: list[Record], categories: list[Record], with_masks: bool
) -> Any:
    """Makes the data set's index of ``pycocotools``, masks as compressed run lengths."""
    from pycocotools import mask as mask_api
    from pycocotools.coco import COCO

    hws = {image["id"]: (image["height"], image["width"]) for image in images}
    records: list[Record] = []
    for number, annotation in enumerate(data_set.annotations, 1):
        x, y, width, height = annotation.box_xywh
        record: Record = {
            "id": number,
            "image_id": annotation.image_id,
            "category_id": annotation.category_id,
            "bbox": [x, y, width, height],
            "area": annotation.area_px or width * height,
            "iscrowd": int(annotation.is_crowd),
        }
        if with_masks:
            record["segmentation"] = annotation.encode_mask(hws[annotation.image_id])
            if annotation.area_px is None:
                record["area"] = int(mask_api.area(record["segmentation"]))
        records.append(record)
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": records}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
