"""Converts instances to regions of Label Studio, and regions to prompts."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine import Instance, PromptedObject
from ...engine.export.brush_rle import encode_brush_rle
from ...engine.export.polygons import mask_to_polygons
from ...engine.results import BoxXyxy
from ...engine.validation import to_finite_number, value_error
from .labeling_config import LabelingConfig

MAX_REGIONS = 1_000

_LABEL_KEYS = {"brush": "brushlabels", "polygon": "polygonlabels", "rectangle": "rectanglelabels"}


def instances_to_regions(
    instances: Sequence[Instance], labels: Sequence[str], config: LabelingConfig
) -> list[dict[str, Any]]:
    """Converts instances to regions of the tag that a configuration has for predictions.

    Args:
        instances: Instances of one image; those with empty masks are left out.
        labels: Name of the label of each.
        config: The configuration.

    Returns:
        Regions; an instance drawn as polygons is one region for each of its parts.
    """
    regions = []
    for instance, label in zip(instances, labels, strict=True):
        if not instance.mask.area:
            continue
        height, width = instance.mask.image_hw
        for shape in _draw(instance, config.kind):
            regions.append(
                {
                    "id": uuid.uuid4().hex[:10],
                    "type": _LABEL_KEYS[config.kind],
                    "from_name": config.control_name,
                    "to_name": config.image_name,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "score": instance.score,
                    "readonly": False,
                    "value": {**shape, _LABEL_KEYS[config.kind]: [label]},
                }
            )
    return regions


def _draw(instance: Instance, kind: str) -> list[dict[str, Any]]:
    height, width = instance.mask.image_hw
    if kind == "brush":
        return [{"format": "rle", "rle": encode_brush_rle(instance.mask.full())}]
    if kind == "rectangle":
        left, top, right, bottom = instance.box_xyxy
        box = {
            "x": 100 * left / width,
            "y": 100 * top / height,
            "width": 100 * (right - left) / width,
            "height": 100 * (bottom - top) / height,
        }
        return [{**box, "rotation": 0}]
    return [
        {
            "points": [
                [100 * x / width, 100 * y / height]
                for x, y in zip(ring[::2], ring[1::2], strict=True)
            ],
            "closed": True,
        }
        for ring in mask_to_polygons(instance.mask)
    ]


def regions_to_objects(
    regions: Any, image_hw: tuple[int, int], config: LabelingConfig
) -> list[PromptedObject]:
    """Reads the objects that a user points at.

    Args:
        regions: ``result`` of the context: keypoints and rectangles, in the order they were
            made. Other regions, such as earlier masks and drafts, are passed over.
        image_hw: Height and width of the image, in pixels.
        config: The configuration, for the label of a region that has none.

    Returns:
        An object for each rectangle, refined by the points in it; without rectangles one
        object of all points.

    Raises:
        ValueError: If a region is not what Label Studio sends, or there is neither a
            rectangle nor a positive point.
    """
    if not isinstance(regions, list) or len(regions) > MAX_REGIONS:
        raise value_error("context.result", f"a list of at most {MAX_REGIONS} regions", regions)
    points: list[tuple[float, float]] = []
    point_labels: list[int] = []
    boxes: list[tuple[BoxXyxy, str]] = []
    label = next(iter(config.labels))
    for index, region in enumerate(regions):
        name = f"context.result[{index}]"
        if not isinstance(region, Mapping):
            raise value_error(name, "a region", region)
        kind = str(region.get("type", ""))
        if kind.removesuffix("labels") not in ("keypoint", "rectangle"):
            continue
        value = region.get("value")
        if not isinstance(value, Mapping):
            raise value_error(f"{name}.value", "an object", value)
        names = value.get(kind)
        if isinstance(names, list) and names and isinstance(names[0], str):
            label = names[0]
        if kind.startswith("keypoint"):
            points.append(_read_point(f"{name}.value", value, image_hw))
            positive = region.get("is_positive")
            point_labels.append(1 if positive is None or positive else 0)
        else:
            boxes.append((_read_box(f"{name}.value", value, image_hw), label))
    if not boxes:
        if 1 not in point_labels:
            raise ValueError("context.result: expected a rectangle or a positive point")
        return [PromptedObject(tuple(points), tuple(point_labels), class_name=label)]
    objects = []
    for box, box_label in boxes:
        inside = [i for i, point in enumerate(points) if _contains(box, point)]
        objects.append(
            PromptedObject(
                tuple(points[i] for i in inside),
                tuple(point_labels[i] for i in inside),
                box,
                box_label,
            )
        )
    return objects


def _read_point(
    name: str, value: Mapping[str, Any], image_hw: tuple[int, int]
) -> tuple[float, float]:
    x, y = (_read_share(f"{name}.{axis}", value.get(axis)) for axis in "xy")
    return min(max(x, 0), 1) * image_hw[1], min(max(y, 0), 1) * image_hw[0]


def _read_box(name: str, value: Mapping[str, Any], image_hw: tuple[int, int]) -> BoxXyxy:
    """Reads the upright box around a rectangle, which may be rotated around a corner."""
    left, top, width, height = (
        _read_share(f"{name}.{key}", value.get(key)) * image_hw[1 - index % 2]
        for index, key in enumerate(("x", "y", "width", "height"))
    )
    angle = math.radians(to_finite_number(f"{name}.rotation", value.get("rotation") or 0))
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    xs = [left + x * cosine - y * sine for x, y in corners]
    ys = [top + x * sine + y * cosine for x, y in corners]
    box = max(min(xs), 0), max(min(ys), 0), min(max(xs), image_hw[1]), min(max(ys), image_hw[0])
    if not (box[0] < box[2] and box[1] < box[3]):
        raise value_error(name, "a rectangle with an area in the image", dict(value))
    return box


def _read_share(name: str, percent: Any) -> float:
    return to_finite_number(name, percent) / 100


def _contains(box: BoxXyxy, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
