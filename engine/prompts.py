"""Declares the prompts, as validated, frozen values.

Every prompt validates itself when it is made; :func:`fit_to_image` validates it against the
size of an image. An error is a one-line ``ValueError`` that begins with the attribute's name.
The plugin's parameters are checked with the same functions of :mod:`validation` when they are set,
so that errors name the parameter; a prompt checks again, because any caller may make one.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from . import validation
from .reference_image import ReferenceImage
from .validation import BoxXyxy, PointXy, value_error

EXEMPLAR_CLASS_NAME = "exemplar"
"""Name of the class of exemplars without a text."""

EVERYTHING_CLASS_NAME = "object"


@dataclasses.dataclass(frozen=True)
class ConceptPrompt:
    """Asks for all instances of concepts: texts, exemplar boxes, or both.

    Attributes:
        texts: Noun phrases, one class each, in the order of the classes. May be empty when
            there is a positive exemplar.
        thresholds: One threshold for each text, None for ``confidence_threshold``; or empty.
        exemplars_xyxy: Boxes in pixels of the image, or of ``reference``; they apply to every
            text.
        exemplar_labels: 1 "like this", 0 "not like this"; empty for all 1.
        confidence_threshold: Instances at or below it are left out. 0..1.
        overlap: ``keep`` all, or the ``best`` of instances that claim the same pixels.
        min_area_px: Instances with a smaller mask are left out.
        tiles: 1 for the whole image at once, N for N x N overlapping tiles beside it, "auto"
            to choose N from the image's size and what is found.
        masks: False for boxes and scores only: the mask head does not run, every mask is empty,
            and ``overlap`` compares boxes. Neither ``min_area_px`` nor ``tiles`` may be set.
        reference: Another picture, in which the exemplars lie: what is like them there is looked
            for in the image. Made from an (H, W, 3) uint8 array where that is given.

    Raises:
        ValueError: If a value is wrong, labels or thresholds are not as many as what they
            belong to, a concept is blank or comes twice, there is neither a text nor a
            positive exemplar, there are tiles and exemplars, or a reference without exemplars.
    """

    texts: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    exemplars_xyxy: tuple[BoxXyxy, ...] = ()
    exemplar_labels: tuple[int, ...] = ()
    confidence_threshold: float = 0.5
    overlap: Literal["keep", "best"] = "keep"
    min_area_px: int = 0
    tiles: int | Literal["auto"] = 1
    masks: bool = True
    reference: ReferenceImage | None = None

    def __post_init__(self) -> None:
        _store_values(
            self,
            texts=validation.to_concepts("texts", _refuse_text("texts", self.texts)),
            thresholds=tuple(
                None if threshold is None else validation.to_number("thresholds", threshold, 0, 1)
                for threshold in self.thresholds
            ),
            exemplars_xyxy=validation.to_boxes_xyxy("exemplars_xyxy", self.exemplars_xyxy),
            exemplar_labels=validation.to_labels("exemplar_labels", self.exemplar_labels),
            confidence_threshold=validation.to_number(
                "confidence_threshold", self.confidence_threshold, 0, 1
            ),
            overlap=validation.check_choice("overlap", self.overlap, ("keep", "best")),
            min_area_px=validation.to_whole_number(
                "min_area_px", self.min_area_px, 0, validation.MAX_AREA_PX
            ),
            tiles=validation.to_tiles("tiles", self.tiles),
        )
        if not self.masks and (self.min_area_px or self.tiles != 1):
            name = "min_area_px" if self.min_area_px else "tiles"
            value = self.min_area_px or self.tiles
            raise ValueError(f"{name}: needs masks, which are switched off, got {value}")
        validation.check_same_count("thresholds", len(self.thresholds), len(self.texts), "texts")
        validation.check_same_count(
            "exemplar_labels", len(self.exemplar_labels), len(self.exemplars_xyxy), "exemplars"
        )
        self._check_exemplars()

    def _check_exemplars(self) -> None:
        boxes = self.exemplars_xyxy
        if boxes and self.tiles not in (1, "auto"):
            raise ValueError(
                "tiles: expected off or auto with exemplar boxes, which the model sees only in "
                f"the whole image, got {self.tiles}"
            )
        if self.reference is not None:
            reference = self.reference
            if not isinstance(reference, ReferenceImage):
                reference = ReferenceImage(reference)
            if not boxes:
                raise ValueError("reference: expected exemplar boxes in it, got none")
            boxes = validation.clip_boxes_xyxy(
                "exemplars_xyxy", boxes, reference.hw, "reference image"
            )
            _store_values(self, reference=reference, exemplars_xyxy=boxes)
        labels = self.exemplar_labels or (1,) * len(boxes)
        if not self.texts and 1 not in labels:
            raise ValueError(
                "texts: expected a text or a positive exemplar, got "
                + ("negative exemplars only" if labels else "neither")
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class: the texts, or one name for exemplars without a text."""
        return self.texts or (EXEMPLAR_CLASS_NAME,)


@dataclasses.dataclass(frozen=True)
class PromptedObject:
    """Describes one object by points, a box, or both.

    Attributes:
        points_xy: Points in pixels of the image.
        point_labels: 1 foreground, 0 background; empty for all 1.
        box_xyxy: A box in pixels of the image.
        class_name: What to call it.
        mask_input: (1, g, g) float32 logits of an earlier result to refine.

    Raises:
        ValueError: If a value is wrong, labels are not as many as points, or there is
            neither a point nor a box.
    """

    points_xy: tuple[PointXy, ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: BoxXyxy | None = None
    class_name: str = "object"
    mask_input: npt.NDArray[np.float32] | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        box = self.box_xyxy
        _store_values(
            self,
            points_xy=validation.to_points_xy("points_xy", self.points_xy),
            point_labels=validation.to_labels("point_labels", self.point_labels),
            box_xyxy=None if box is None else validation.to_boxes_xyxy("box_xyxy", [box])[0],
        )
        validation.check_same_count(
            "point_labels", len(self.point_labels), len(self.points_xy), "points"
        )
        if not self.points_xy and box is None:
            raise ValueError("points_xy: expected a point or a box, got neither")
        validation.check_class_name("class_name", self.class_name)
        _check_logits("mask_input", self.mask_input)


@dataclasses.dataclass(frozen=True)
class ObjectPrompt:
    """Asks for objects, one instance each, in this order.

    Attributes:
        objects: The objects.
        multimask: Whether to return three candidates for each instead of one mask.
        return_logits: Whether instances carry ``low_res_logits``, which refining needs: 1 MB
            for each of 3 candidates of an object at full size.

    Raises:
        ValueError: If there are more than 1,000 objects, or something else among them.
    """

    objects: tuple[PromptedObject, ...] = ()
    multimask: bool = False
    return_logits: bool = False

    def __post_init__(self) -> None:
        _store_values(self, objects=tuple(self.objects))
        validation.check_at_most("objects", len(self.objects), validation.MAX_OBJECTS, "objects")
        for prompted in self.objects:
            if not isinstance(prompted, PromptedObject):
                raise value_error("objects", "PromptedObject values", prompted)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Distinct class names of the objects, in the order in which they first appear."""
        return tuple(dict.fromkeys(prompted.class_name for prompted in self.objects))


@dataclasses.dataclass(frozen=True)
class EverythingPrompt:
    """Asks for every object of an image, without a class (SAM's automatic mask generation).

    Attributes:
        points_per_side: Points of the grid along each side.
        min_area_px: Instances with a smaller mask are left out.

    Raises:
        ValueError: If a number is no whole one, or out of range.
    """

    points_per_side: int = 32
    min_area_px: int = 0

    def __post_init__(self) -> None:
        side, area = self.points_per_side, self.min_area_px
        _store_values(
            self,
            points_per_side=validation.to_whole_number(
                "points_per_side", side, 1, validation.MAX_POINTS_PER_SIDE
            ),
            min_area_px=validation.to_whole_number("min_area_px", area, 0, validation.MAX_AREA_PX),
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of the one class that all objects have."""
        return (EVERYTHING_CLASS_NAME,)


Prompt = ConceptPrompt | ObjectPrompt | EverythingPrompt


def fit_to_image(prompt: Prompt, image_hw: tuple[int, int]) -> Prompt:
    """Clips a prompt's boxes to an image and checks its points; not those in a reference.

    Args:
        prompt: Any prompt.
        image_hw: Height and width of the image, in pixels.

    Returns:
        The prompt, its boxes clipped to the image; the prompt itself if they all are inside,
        so that its values are not validated again.

    Raises:
        ValueError: If a point is outside the image, or a box wholly so.
    """
    if isinstance(prompt, ConceptPrompt):
        if prompt.reference is not None:
            return prompt
        boxes = validation.clip_boxes_xyxy("exemplars_xyxy", prompt.exemplars_xyxy, image_hw)
        if boxes != prompt.exemplars_xyxy:
            return dataclasses.replace(prompt, exemplars_xyxy=boxes)
    if isinstance(prompt, ObjectPrompt):
        objects = tuple(_fit_object(prompted, image_hw) for prompted in prompt.objects)
        if any(new is not old for new, old in zip(objects, prompt.objects, strict=True)):
            return dataclasses.replace(prompt, objects=objects)
    return prompt


def _fit_object(prompted: PromptedObject, image_hw: tuple[int, int]) -> PromptedObject:
    validation.check_inside("points_xy", prompted.points_xy, image_hw)
    if prompted.box_xyxy is None:
        return prompted
    box = validation.clip_boxes_xyxy("box_xyxy", [prompted.box_xyxy], image_hw)[0]
    return prompted if box == prompted.box_xyxy else dataclasses.replace(prompted, box_xyxy=box)


def _store_values(prompt: object, **values: object) -> None:
    """Stores checked values in a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(prompt, name, value)


def _refuse_text(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    # A bare string is a sequence of its letters, which nobody means.
    if isinstance(values, str):
        raise value_error(name, "a sequence of phrases", values)
    return tuple(values)


def _check_logits(name: str, logits: npt.NDArray[np.float32] | None) -> None:
    if logits is None:
        return
    expected = "a (1, g, g) array of finite float32"
    if not isinstance(logits, np.ndarray) or logits.dtype != np.float32:
        raise value_error(name, expected, type(logits).__name__)
    is_square = logits.ndim == 3 and logits.shape[0] == 1 and logits.shape[1] == logits.shape[2]
    if not (is_square and np.isfinite(logits).all()):
        raise value_error(name, expected, logits.shape)
