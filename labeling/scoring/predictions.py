"""Runs the model on every image of a COCO data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ...engine import ConceptPrompt, Instance, ObjectPrompt, Prompt, PromptedObject
from ...engine.export.coco import to_xywh
from ...engine.export.rle import mask_to_rle
from ...engine.validation import MAX_CONCEPTS, MAX_OBJECTS
from ..options import Segmenter
from .ground_truth import GroundTruth, Record

PROMPT_KINDS = ("text", "boxes", "click")
LEAST_SCORE = 0.01
"""Precision at low scores counts for AP: all instances above this are kept."""
MAX_PER_IMAGE = 100
"""COCO's own bound on the detections of an image (COCOeval's last ``maxDets``)."""


def predict(engine: Segmenter, truth: GroundTruth, image: Record, prompt_kind: str) -> list[Record]:
    """Segments an image.

    Args:
        engine: What segments.
        truth: The data set.
        image: One of its images.
        prompt_kind: ``text``: the names of all categories. ``boxes``: the annotated boxes.
            ``click``: one click in each annotated object.

    Returns:
        Detections in COCO's results format, by falling score.
    """
    pixels = truth.read_pixels(image)
    found: list[Record] = []
    for prompt, category_ids in _make_prompts(truth, image, prompt_kind):
        result = engine.segment(pixels, prompt)
        places = [
            instance.class_index if isinstance(prompt, ConceptPrompt) else index
            for index, instance in enumerate(result.instances)
        ]
        found += [
            to_record(instance, category_ids[place], image["id"])
            for instance, place in zip(result.instances, places, strict=True)
        ]
    return sorted(found, key=lambda record: -record["score"])


def keep_best(predictions: Iterable[Record], per_image: int = MAX_PER_IMAGE) -> list[Record]:
    """Keeps the best-scored detections of each image."""
    kept: dict[int, list[Record]] = {}
    for record in sorted(predictions, key=lambda record: -record["score"]):
        rows = kept.setdefault(record["image_id"], [])
        if len(rows) < per_image:
            rows.append(record)
    return [record for rows in kept.values() for record in rows]


def find_center(region: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Finds the pixel that is farthest from the border of a region.

    The clicks of interactive evaluation lie there, as in ``sam3``'s own and SAM's.

    Args:
        region: (H, W) bool, not empty.

    Returns:
        x and y of the pixel's center.
    """
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x) + 0.5, float(y) + 0.5


def _make_prompts(
    truth: GroundTruth, image: Record, prompt_kind: str
) -> Iterator[tuple[Prompt, tuple[int, ...]]]:
    """Makes the prompts of an image, each with the category of each class or instance."""
    if prompt_kind == "text":
        for some in _chunk(truth.categories, MAX_CONCEPTS):
            texts = tuple(category["name"] for category in some)
            prompt = ConceptPrompt(texts=texts, confidence_threshold=LEAST_SCORE)
            yield prompt, tuple(category["id"] for category in some)
        return
    objects: list[tuple[PromptedObject, int]] = []
    if prompt_kind == "boxes":
        for annotation in truth.get_annotations(image):
            x, y, width, height = annotation["bbox"]
            box = (x, y, x + width, y + height)
            objects.append((PromptedObject(box_xyxy=box), annotation["category_id"]))
    else:
        for annotation, mask in truth.get_masks(image):
            if mask.any():
                click = PromptedObject(points_xy=(find_center(mask),))
                objects.append((click, annotation["category_id"]))
    for chunk in _chunk(objects, MAX_OBJECTS):
        prompt_objects = ObjectPrompt(tuple(prompted for prompted, _ in chunk))
        yield prompt_objects, tuple(category_id for _, category_id in chunk)


def to_record(instance: Instance, category_id: int, image_id: int) -> Record:
    """Writes an instance in COCO's results format."""
    return {
        "image_id": image_id,
        "category_id": category_id,
        "score": float(instance.score),
        "bbox": to_xywh(instance.box_xyxy),
        "segmentation": mask_to_rle(instance.mask),
    }


def _chunk(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
