"""Parses and merges the values of parameters: Ikomia's strings, and typed settings.

Ikomia carries every parameter as a string. ``get_values``, ``set_values``, the widget
and the README's table all come from :data:`PARAMETERS`; a run parses the strings once
into a :class:`Settings`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Mapping
from typing import Any, Literal

from ...engine.concept_text import Concept
from ...engine.validation import BoxXyxy, PointXy, shorten
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
        input_text: Concepts with their thresholds.
        prompt_mode: ``auto``, ``object``, ``concept`` or ``everything``.
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
    prompt_mode: Literal["auto", "object", "concept", "everything"]
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
        texts = {**get_defaults(), **values}
        return cls(**{name: _get_parameter(name).parse(text) for name, text in texts.items()})


def get_defaults() -> dict[str, str]:
    """Returns the default of every parameter, as strings."""
    return {name: parameter.default for name, parameter in PARAMETERS.items()}


def merge_values(current: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Validates changed values and merges them into the current ones.

    Args:
        current: Strings by name, not validated again; a missing parameter has its default.
        changes: Strings by name.

    Returns:
        A new dict with a string for every parameter, in the table's order.

    Raises:
        ValueError: If a name is unknown or a changed value is invalid by itself.
    """
    for name, text in changes.items():
        _get_parameter(name).parse(text)
    return {**get_defaults(), **current, **changes}


def keep_valid(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Keeps the valid values of a saved workflow, so that files of any version open.

    Args:
        values: Strings by name; names and values may be invalid.

    Returns:
        A string for every parameter (the default where a value is invalid), and one warning
        for each value that was left out.
    """
    kept, warnings = get_defaults(), []
    for name, text in values.items():
        try:
            _get_parameter(name).parse(text)
        except ValueError as error:
            warnings.append(f"{error}; left out")
        else:
            kept[name] = text
    return kept, warnings


def to_text(value: Any) -> Any:
    """Converts a value to the string that Ikomia carries.

    Args:
        value: A string, number, bool, path, NumPy array, or a list or tuple of these.

    Returns:
        The string; any other value as it is, for :func:`merge_values` to refuse.
    """
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        try:
            return json.dumps(value, default=_to_plain, ensure_ascii=False)
        except (TypeError, ValueError):
            return value
    return value


def _to_plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value)} is no value of a parameter")


def _get_parameter(name: str) -> Parameter:
    if name in PARAMETERS:
        return PARAMETERS[name]
    near = difflib.get_close_matches(str(name)[:100], PARAMETERS, n=2)
    hint = f", did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"{shorten(name)}: unknown parameter{hint}")
