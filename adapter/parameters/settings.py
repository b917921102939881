"""Parses and merges the values of parameters: Ikomia's strings, and typed settings.

Ikomia carries every parameter as a string. ``get_values``, ``set_values``, the widget
and the README's table all come from :data:`PARAMETERS`; a run parses the strings once
into a :class:`Settings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from ...engine.concept_text import Concept
from ...engine.validation import BoxXyxy, PointXy
from .spec import GROUPS, Parameter
from .table import PARAMETERS, PROMPT_MODES

__all__ = [
    "GROUPS",
    "PARAMETERS",
    "PROMPT_MODES",
    "Parameter",
    "Settings",
    "get_defaults",
    "keep_valid",
    "merge_values",
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The parameters as typed values, one field of the same name for each.

    Attributes:
        input_text: Concepts with their thresholds; for ``describe`` the description as one.
        prompt_mode: ``auto``, ``object``, ``concept``, ``everything`` or ``describe``.
        agent_model: Name of the language model for ``describe``, or empty.
        confidence_threshold: 0..1.
        input_point: Points of each object, in pixels of the image.
        input_point_label: Labels of each object's points; empty for all 1.
        input_box: Boxes in pixels of the image.
        input_box_label: One label for each box; empty for all 1.
        reference_image: Path of the picture in which the boxes lie; empty for the image itself.
        refine: Whether to start from the last masks.
        points_per_side: Side of the grid for everything.
        multimask_output: Whether to give three candidates.
        overlap: ``keep`` or ``best``.
        min_area: Pixels.
        tracking: ``auto``, ``on`` or ``off``.
        tiles: 1 for off, "auto", else tiles a side.
        masks: Whether concepts get masks, or boxes only.
        segmentation_format: ``rle``, ``polygon`` or ``none``.
        model_name: ``sam3``, ``tiny_shapes`` or a repository.
        model_weight_file: Path, or empty.
        input_size: Side of the model's input in pixels, or ``auto``.
        input_size_percent: 1..100.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        backend: ``torch`` or ``openvino``.
        cuda: Whether a GPU may be used.
    """

    input_text: tuple[Concept, ...]
    prompt_mode: Literal["auto", "object", "concept", "everything", "describe"]
    agent_model: str
    confidence_threshold: float
    input_point: tuple[tuple[PointXy, ...], ...]
    input_point_label: tuple[tuple[int, ...], ...]
    input_box: tuple[BoxXyxy, ...]
    input_box_label: tuple[int, ...]
    reference_image: str
    refine: bool
    points_per_side: int
    multimask_output: bool
    overlap: Literal["keep", "best"]
    min_area: int
    tracking: Literal["auto", "on", "off"]
    tiles: int | Literal["auto"]
    masks: bool
    segmentation_format: Literal["rle", "polygon", "none"]
    model_name: str
    model_weight_file: str
    input_size: int | Literal["auto"]
    input_size_percent: int
    precision: Literal["auto", "float32", "bfloat16"]
    backend: Literal["torch", "openvino"]
    cuda: bool

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Settings:
        """Parses and validates the parameters' strings.

        Args:
            values: Strings by name; a missing parameter has its default.

        Returns:
            The typed values.

        Raises:
            ValueError: If a name is unknown or a value is invalid by itself.
        """
        return cls(**PARAMETERS.parse_values(values))


get_defaults = PARAMETERS.get_defaults
merge_values = PARAMETERS.merge_values
keep_valid = PARAMETERS.keep_valid
