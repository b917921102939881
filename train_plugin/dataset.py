"""Converts Ikomia's data sets to COCO, which the training reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.export.rle import mask_to_rle
from ..engine.results import Mask
from ..engine.validation import value_error

_VOID = 255
"""Value of pixels that belong to no instance in a mask image of Pascal VOC."""


def to_coco(data: Any) -> tuple[dict[str, Any], Path]:
    """Converts the data of an ``IkDatasetIO`` to COCO.

    Masks are taken from ``segmentation_poly``, ``segmentation_masks_np`` or
    ``instance_seg_masks_file``, the first that an image has; an instance without one has its
    box alone.

    Args:
        data: ``images`` and ``metadata`` as ``ikomia.dnn.datasetio.IkDatasetIO`` describes them.

    Returns:
        The content of a COCO file, for :func:`labeling.coco.reader.parse_coco` to check; and the
        folder that the names of its images start from.

    Raises:
        ValueError: If there are no images or no names of classes; it names the entry.
    """
    expected = "a data set with images and metadata.category_names (connect a data set loader)"
    if not isinstance(data, Mapping) or not data.get("images"):
        raise value_error("dataset", expected, data)
    names = (data.get("metadata") or {}).get("category_names")
    if not isinstance(names, Mapping) or not names:
        raise value_error("dataset", expected, data.get("metadata"))
    paths = [_get_path(image, index) for index, image in enumerate(data["images"])]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image, path) in enumerate(zip(data["images"], paths, strict=True), 1):
        images.append(
            {
                "id": number,
                "file_name": path.relative_to(folder).as_posix(),
                "width": image.get("width"),
                "height": image.get("height"),
            }
        )
        for annotation in _convert_annotations(image):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0} | annotation
            )
    categories = [{"id": key, "name": name} for key, name in names.items()]
    return {"images": images, "categories": categories, "annotations": annotations}, folder


def _get_path(image: Any, index: int) -> Path:
    name = image.get("filename") if isinstance(image, Mapping) else None
    if not isinstance(name, str) or not name:
        raise value_error(f"dataset: images[{index}].filename", "a path", name)
    return Path(name).absolute()


def _convert_annotations(image: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    annotations: Sequence[Mapping[str, Any]] = image.get("annotations") or []
    masks: Iterator[npt.NDArray[np.bool_]] = iter(())
    if not any(annotation.get("segmentation_poly") for annotation in annotations):
        masks = _read_masks(image, len(annotations))
    for annotation in annotations:
        converted: dict[str, Any] = {"category_id": annotation.get("category_id")}
        mask = next(masks, None)
        if annotation.get("segmentation_poly"):
            converted["segmentation"] = annotation["segmentation_poly"]
        elif mask is not None and mask.any():
            converted["segmentation"] = mask_to_rle(Mask.from_full(mask))
        if annotation.get("bbox") is not None:
            converted["bbox"] = [float(value) for value in annotation["bbox"]]
        if annotation.get("iscrowd"):
            converted["iscrowd"] = 1
        yield converted


def _read_masks(image: Mapping[str, Any], count: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yields a mask for each annotation, (H, W) bool, where the image has them."""
    stack, path = image.get("segmentation_masks_np"), image.get("instance_seg_masks_file")
    if stack is not None:
        if len(stack) != count:
            raise value_error(
                f"dataset: segmentation_masks_np of {image['filename']}",
                f"{count} masks, one for each annotation",
                len(stack),
            )
        yield from (np.asarray(mask) > 0 for mask in stack)
    elif path:
        from PIL import Image

        with Image.open(path) as opened:  # a palette's indices are the instances
            instances = np.asarray(
                opened if opened.mode in ("P", "L", "I") else opened.convert("L")
            )
        values = [value for value in np.unique(instances).tolist() if value not in (0, _VOID)]
        yield from (instances == value for value in values[:count])
