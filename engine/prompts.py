"""What a user can ask for, as validated, frozen values; and how it is read from strings."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

PointXy = tuple[float, float]
BoxXyxy = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class ConceptPrompt:
    """Everything like this: texts, exemplar boxes, or both.

    Attributes:
        texts: Noun phrases, one class each, in the order of the classes. May be empty when
            there is a positive exemplar.
        thresholds: One threshold for each text, None for ``confidence_threshold``; or empty.
        exemplars_xyxy: Boxes in pixels of the image; they apply to every text.
        exemplar_labels: 1 "like this", 0 "not like this"; empty for all 1.
        confidence_threshold: Instances at or below it are left out. 0..1.
        overlap: ``keep`` all, or the ``best`` of instances that claim the same pixels.
        min_area_px: Instances with a smaller mask are left out.
        tiles: 1 for the whole image at once, N for N x N overlapping tiles, 0 to choose.
    """

    texts: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    exemplars_xyxy: tuple[BoxXyxy, ...] = ()
    exemplar_labels: tuple[int, ...] = ()
    confidence_threshold: float = 0.5
    overlap: Literal["keep", "best"] = "keep"
    min_area_px: int = 0
    tiles: int = 1


@dataclasses.dataclass(frozen=True)
class PromptedObject:
    """This one object: points, a box, or both.

    Attributes:
        points_xy: Points in pixels of the image.
        point_labels: 1 foreground, 0 background; empty for all 1.
        box_xyxy: A box in pixels of the image.
        class_name: What to call it.
        mask_input: (1, g, g) float32 logits of an earlier answer to refine.
    """

    points_xy: tuple[PointXy, ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: BoxXyxy | None = None
    class_name: str = "object"
    mask_input: npt.NDArray[np.float32] | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class ObjectPrompt:
    """These objects, one instance each, in this order.

    Attributes:
        objects: The objects.
        multimask: Whether to give three candidates for each instead of one mask.
    """

    objects: tuple[PromptedObject, ...] = ()
    multimask: bool = False


@dataclasses.dataclass(frozen=True)
class EverythingPrompt:
    """Everything there is, without a class (SAM's automatic mask generation).

    Attributes:
        points_per_side: Points of the grid along each side.
        min_area_px: Instances with a smaller mask are left out.
    """

    points_per_side: int = 32
    min_area_px: int = 0


Prompt = ConceptPrompt | ObjectPrompt | EverythingPrompt
