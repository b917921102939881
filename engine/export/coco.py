"""Converts results to COCO's terms: plain data that ``json`` can write."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from ..prompts import ConceptPrompt, EverythingPrompt, ObjectPrompt, Prompt
from ..results import BoxXyxy, Instance, Result
from .polygons import mask_to_polygons
from .rle import mask_to_rle

SegmentationFormat = Literal["rle", "polygon", "none"]

IMAGE_ID = 1

_KINDS: dict[type, str] = {
    ConceptPrompt: "concept",
    ObjectPrompt: "object",
    EverythingPrompt: "everything",
}


def to_coco(
    result: Result,
    prompt: Prompt | None = None,
    segmentation_format: SegmentationFormat = "rle",
    file_name: str = "",
) -> dict[str, Any]:
    """Converts a result to COCO's terms.

    COCO counts from 1: category ``k`` is class ``k - 1`` of the result, annotation ``k`` its
    instance ``k - 1`` (the evaluation of ``pycocotools`` takes an annotation 0 for none).

    Args:
        result: The instances of a run.
        prompt: The prompt of the run, to be echoed.
        segmentation_format: How masks are written: compressed run lengths (exact),
            polygons (IoU of a round trip at least 0.98), or not at all.
        file_name: Where the image came from; left out if empty.

    Returns:
        ``image`` and ``images`` (the one image, under the name people look for and in the
        list that COCO readers want), ``categories``, ``annotations`` with ``bbox`` as xywh in
        pixels, ``area`` in pixels, ``score`` and ``segmentation``, and the ``prompt``. On
        videos the image has its ``frame_index`` and ``removed_track_ids``, and each annotation
        its ``track_id``. An empty mask has no polygon and is written as run lengths in that
        format, too.

    Raises:
        ValueError: If the format is none of the three.

    Example:
        >>> from pycocotools.coco import COCO
        >>> coco = COCO()
        >>> coco.dataset = to_coco(result)
        >>> coco.createIndex()
        >>> coco.annToMask(coco.anns[1]).shape
        (1200, 1800)
    """
    if segmentation_format not in get_args(SegmentationFormat):
        raise ValueError(
            f"segmentation_format: expected one of {', '.join(get_args(SegmentationFormat))}, "
            f"got {segmentation_format!r:.60}"
        )
    height, width = result.image_hw
    image: dict[str, Any] = {"id": IMAGE_ID, "width": width, "height": height}
    if file_name:
        image["file_name"] = file_name
    if result.frame_index is not None:
        image["frame_index"] = result.frame_index
        image["removed_track_ids"] = list(result.removed_track_ids)
    data: dict[str, Any] = {
        "image": image,
        "images": [dict(image)],
        "categories": [
            {"id": index + 1, "name": name} for index, name in enumerate(result.class_names)
        ],
        "annotations": [
            _make_annotation(index, instance, segmentation_format)
            for index, instance in enumerate(result.instances)
        ],
    }
    if prompt is not None:
        data["prompt"] = prompt_to_dict(prompt)
    return data


def prompt_to_dict(prompt: Prompt) -> dict[str, Any]:
    """Converts a prompt to plain data, with its ``kind``, without mask logits and pixels."""
    return {"kind": _KINDS[type(prompt)], **_to_plain(prompt)}


def to_xywh(box_xyxy: BoxXyxy) -> list[float]:
    """Converts a box of two corners to COCO's form: left, top, width, height."""
    left, top, right, bottom = (float(value) for value in box_xyxy)
    return [left, top, right - left, bottom - top]


def _make_annotation(
    index: int, instance: Instance, segmentation_format: SegmentationFormat
) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "id": index + 1,
        "image_id": IMAGE_ID,
        "category_id": instance.class_index + 1,
        "bbox": to_xywh(instance.box_xyxy),
        "area": instance.mask.area,
        "score": float(instance.score),
        "iscrowd": 0,
    }
    if segmentation_format == "polygon":
        annotation["segmentation"] = mask_to_polygons(instance.mask) or mask_to_rle(instance.mask)
    elif segmentation_format == "rle":
        annotation["segmentation"] = mask_to_rle(instance.mask)
    if instance.track_id is not None:
        annotation["track_id"] = instance.track_id
    return annotation


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _to_plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in ("mask_input", "return_logits", "pixels")
        }
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value
