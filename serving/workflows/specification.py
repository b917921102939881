"""Checks workflows before Roboflow's engine sees them: which blocks run, and how many.

The engine can run code of clients, write files, read the environment and call any address.
Its own switches leave some of that on, so each block that may run is named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...engine.validation import shorten
from ..errors import ApiError

SEGMENTATION_BLOCKS = ("sam3@v1", "sam3@v2", "sam3@v3", "sam3_interactive@v1")

_VISUALIZATIONS = (
    "background_color", "blur", "bounding_box", "circle", "color", "corner", "dot", "ellipse",
    "halo", "label", "mask", "model_comparison", "pixelate", "polygon", "polygon_zone", "triangle",
)  # fmt: skip

_OTHER_BLOCKS = (
    # images: none of them makes one that is larger than what it is given
    "absolute_static_crop@v1", "relative_statoic_crop@v1", "dynamic_crop@v1",
    "convert_grayscale@v1",
    # detections
    "bounding_rect@v1", "detection_offset@v1", "detections_classes_replacement@v1",
    "detections_combine@v1", "detections_consensus@v1", "detections_difference@v1",
    "detections_filter@v1", "detections_list_rollup@v1", "detections_merge@v1",
    "detections_transformation@v1", "dynamic_zone@v1", "overlap@v1",
    "overlap_analysis@v1", "per_class_confidence_filter@v1",
    # measuring
    "distance_measurement@v1", "mask_area_measurement@v1", "pixel_color_count@v1",
    "size_measurement@v1",
    # values and flow
    "continue_if@v1", "dimension_collapse@v1", "expression@v1", "first_non_empty_or_default@v1",
    "property_definition@v1", "string_template@v1", "switch_case@v1",
)  # fmt: skip

ALLOWED_BLOCKS = frozenset(
    f"roboflow_core/{name}"
    for name in (
        *SEGMENTATION_BLOCKS,
        *(f"{name}_visualization@v1" for name in _VISUALIZATIONS),
        "halo_visualization@v2",
        "polygon_visualization@v2",
        *_OTHER_BLOCKS,
    )
)
"""Every block that may run. None keeps anything between two requests."""

REFUSED_OPERATIONS = {
    "StringMatches": "a regular expression can take hours",
    "Multiply": "it repeats texts without bound",
}
"""Operations of the query language that do not run, and why."""

MAX_STEPS = 64
MAX_INPUTS = 64
MAX_BATCH = 32
"""Images of a batch, and elements of any other."""

_IMAGE_TYPES = ("WorkflowImage", "InferenceImage")
_BATCH_TYPES = (*_IMAGE_TYPES, "WorkflowBatchInput", "WorkflowVideoMetadata")


def check_specification(specification: dict[str, Any]) -> None:
    """Checks a workflow against the list of blocks and the bounds.

    Args:
        specification: The workflow, as its client sent it or as it was saved.

    Raises:
        ApiError: 422, naming the step and its block.
    """
    if specification.get("dynamic_blocks_definitions"):
        raise ApiError(
            422,
            "specification.dynamic_blocks_definitions: Python blocks, code of clients, are not "
            "run here",
        )
    steps = _get_list(specification, "steps", MAX_STEPS)
    _get_list(specification, "inputs", MAX_INPUTS)
    _get_list(specification, "outputs", MAX_STEPS)
    for index, step in enumerate(steps):
        block = step.get("type")
        if not isinstance(block, str) or block not in ALLOWED_BLOCKS:
            raise ApiError(
                422,
                f"specification.steps[{index}].type: the block {shorten(block)} is not run here; "
                "/workflows/blocks/describe lists those that are",
            )
        for node in _walk(step):
            reason = REFUSED_OPERATIONS.get(str(node.get("type")))
            if reason:
                raise ApiError(
                    422,
                    f"specification.steps[{index}]: the operation {node['type']} is not run "
                    f"here: {reason}",
                )


def find_image_inputs(specification: dict[str, Any]) -> list[str]:
    """Names the inputs that are images."""
    names = []
    for item in specification.get("inputs", []):
        is_image = item.get("type") in _IMAGE_TYPES
        kinds = item.get("kind") if item.get("type") == "WorkflowBatchInput" else None
        if is_image or (isinstance(kinds, list) and "image" in map(_name_kind, kinds)):
            names.append(str(item.get("name")))
    return names


def check_inputs(specification: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Checks the sizes of batches: each element repeats every step.

    Raises:
        ApiError: 422, naming the input.
    """
    for item in specification.get("inputs", []):
        value = inputs.get(str(item.get("name")))
        if item.get("type") in _BATCH_TYPES and isinstance(value, list):
            count = sum(1 for _ in flatten(value))
            if count > MAX_BATCH or len(value) > MAX_BATCH:
                raise ApiError(
                    422,
                    f"inputs.{shorten(item.get('name'))}: expected a batch of at most {MAX_BATCH}, "
                    f"got {max(count, len(value)):,}",
                )


def flatten(value: Any) -> Iterator[Any]:
    """Yields the elements of nested lists."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        else:
            yield item


def _name_kind(kind: Any) -> Any:
    return kind.get("name") if isinstance(kind, dict) else kind


def _get_list(specification: dict[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    items = specification.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiError(422, f"specification.{name}: expected a list of objects")
    if len(items) > most:
        raise ApiError(422, f"specification.{name}: expected at most {most}, got {len(items):,}")
    return items


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Yields every object inside a step."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
