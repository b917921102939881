"""Reads a COCO data set to score on, and checks it before the model runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.images import decode_image
from ...engine.validation import value_error

Record = dict[str, Any]


class GroundTruth:
    """Holds the images, categories and annotations of a COCO file.

    Attributes:
        coco: The file as ``pycocotools`` reads it.
        images: Its images, in the order of their ids.
        categories: Its categories, in the order of their ids.
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
        from pycocotools.coco import COCO

        try:
            data = json.loads(Path(annotations).read_text("utf-8"))
            data["images"] = sorted(data["images"], key=lambda image: image["id"])
            data["images"] = data["images"][: limit or None]
            known = {image["id"] for image in data["images"]}
            data["annotations"] = [a for a in data["annotations"] if a["image_id"] in known]
            for annotation in data["annotations"]:
                annotation.setdefault("iscrowd", 0)
                annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
            self.coco = COCO()
            self.coco.dataset = data
            with contextlib.redirect_stdout(io.StringIO()):
                self.coco.createIndex()
            self.categories: list[Record] = sorted(data["categories"], key=lambda c: c["id"])
        except OSError as error:
            expected = f"a COCO file that can be read ({error.strerror})"
            raise value_error("coco", expected, annotations) from error
        except (KeyError, TypeError, ValueError) as error:
            expected = f"a COCO file ({type(error).__name__}: {error})"
            raise value_error("coco", expected, annotations) from error
        self.images: list[Record] = data["images"]
        if not self.images or not self.categories:
            raise value_error("coco", "a COCO file with images and categories", annotations)
        self._folder = Path(images)
        for image in self.images:
            if not self.get_path(image).is_file():
                expected = "the folder of the images (one is not there)"
                raise value_error("images", expected, os.fspath(self.get_path(image)))

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
            if annotation.get("segmentation"):
                yield annotation, self.coco.annToMask(annotation).astype(bool)
