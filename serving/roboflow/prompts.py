"""Converts requests to the engine's prompts; errors name the fields of the request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ...engine import ConceptPrompt, ObjectPrompt, PromptedObject
from ...engine.prompts import Prompt, fit_to_image
from ...engine.results import BoxXyxy
from ..errors import ApiError
from .schemas import BoxCenter, BoxXywh, ConceptPromptRequest, VisualPromptRequest
from .schemas import BoxXyxy as BoxXyxyRequest

_FIELDS = {
    "texts": "text",
    "thresholds": "output_prob_thresh",
    "confidence_threshold": "output_prob_thresh",
    "exemplars_xyxy": "boxes",
    "exemplar_labels": "box_labels",
    "points_xy": "points",
    "point_labels": "points",
    "box_xyxy": "box",
}
"""Name of the request's field for each attribute of prompts."""


@contextlib.contextmanager
def name_fields(prefix: str = "prompts") -> Iterator[None]:
    """Turns a refusal of the engine into a 422 that names the request's field.

    Args:
        prefix: Where in the request the refused value is.
    """
    try:
        yield
    except ValueError as error:
        name, separator, rest = str(error).partition(": ")
        if separator and name in _FIELDS:
            message = f"{prefix}.{_FIELDS[name]}: {rest}"
        else:
            message = f"{prefix}: {error}"
        raise ApiError(422, message) from None


def to_concept_prompt(
    request: ConceptPromptRequest, index: int, default_threshold: float, image_hw: tuple[int, int]
) -> ConceptPrompt:
    """Converts a concept of a request to a prompt.

    Args:
        request: The concept.
        index: Its place in the request.
        default_threshold: Used where it has none of its own. 0 is a threshold like any other.
        image_hw: Height and width of the image, in pixels.

    Returns:
        The prompt, its boxes clipped to the image.

    Raises:
        ApiError: 422 if it asks for nothing, or does not fit the image.
    """
    place = f"prompts[{index}]"
    boxes, labels = request.boxes or [], request.box_labels
    text = request.text if request.text and request.text.strip() else None
    if request.type == "visual" and not boxes:
        raise ApiError(422, f"{place}.boxes: expected a box, as type is visual")
    if request.type == "text" and text is None:
        raise ApiError(422, f"{place}.text: expected a phrase, as type is text")
    if text is None and not boxes:
        raise ApiError(422, f"{place}: expected a text, boxes, or both, got neither")
    if len(labels or []) != len(boxes):
        raise ApiError(
            422,
            f"{place}.box_labels: expected {len(boxes)}, one for each of the boxes, "
            f"got {len(labels or [])}",
        )
    own = request.output_prob_thresh
    with name_fields(place):
        prompt = ConceptPrompt(
            texts=() if text is None else (text,),
            exemplars_xyxy=tuple(_compute_corners(box) for box in boxes),
            exemplar_labels=tuple(labels or ()),
            confidence_threshold=default_threshold if own is None else own,
        )
        fitted = fit_to_image(prompt, image_hw)
    assert isinstance(fitted, ConceptPrompt)
    return fitted


def to_prompted_object(
    request: VisualPromptRequest, index: int, image_hw: tuple[int, int]
) -> PromptedObject:
    """Converts an object of a request, whose box is given by its center.

    Raises:
        ApiError: 422 if it has neither point nor box, or does not fit the image.
    """
    points = request.points or []
    with name_fields(f"prompts[{index}]"):
        prompted = PromptedObject(
            points_xy=tuple((point.x, point.y) for point in points),
            point_labels=tuple(int(point.positive) for point in points),
            box_xyxy=None if request.box is None else _compute_corners(request.box),
        )
        fitted = fit_to_image(ObjectPrompt((prompted,)), image_hw)
    assert isinstance(fitted, ObjectPrompt)
    return fitted.objects[0]


def group_texts(prompts: Sequence[ConceptPrompt]) -> list[tuple[Prompt, list[int]]]:
    """Joins concepts that are texts alone, as the engine runs several at once.

    Args:
        prompts: One concept each.

    Returns:
        Prompts for the engine; with each, the index of the concept behind each of its classes.
        A text that comes twice is not joined, nor is one with exemplars.
    """
    groups: list[tuple[Prompt, list[int]]] = []
    joined: dict[str, int] = {}
    for index, prompt in enumerate(prompts):
        name = prompt.texts[0].casefold() if prompt.texts else ""
        if prompt.exemplars_xyxy or name in joined:
            groups.append((prompt, [index]))
        else:
            joined[name] = index
    if joined:
        members = [prompts[index] for index in joined.values()]
        texts = ConceptPrompt(
            texts=tuple(prompt.texts[0] for prompt in members),
            thresholds=tuple(prompt.confidence_threshold for prompt in members),
        )
        groups.append((texts, list(joined.values())))
    return groups


def _compute_corners(box: BoxXywh | BoxXyxyRequest | BoxCenter) -> BoxXyxy:
    if isinstance(box, BoxXyxyRequest):
        return box.x0, box.y0, box.x1, box.y1
    if isinstance(box, BoxCenter):
        half_width, half_height = box.width / 2, box.height / 2
        return box.x - half_width, box.y - half_height, box.x + half_width, box.y + half_height
    return box.x, box.y, box.x + box.width, box.y + box.height
