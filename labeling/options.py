"""What a job is told, checked before the first image is read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..engine import (
    ConceptPrompt,
    EverythingPrompt,
    Prompt,
    Result,
    concept_text,
    parsing,
    validation,
)
from ..engine.validation import value_error
from .prompt_sources import BoxPrompts, PromptSource, SamePrompt

MAX_SHARD_SIZE = 100_000
_FINGERPRINT_BYTES = 1024**2


class Segmenter(Protocol):
    """What the job needs of an engine."""

    def segment(
        self, image: npt.NDArray[np.uint8], prompt: Prompt, input_size_percent: float = 100
    ) -> Result:
        """Segments an image, see ``Engine.segment``."""


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which model labels, and how it runs.

    Attributes:
        model_name: ``sam3`` or ``tiny_shapes``.
        weight_file: A local checkpoint; wins over the download.
        device: ``cpu``, ``cuda``, ``cuda:1``; None for the GPU where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
    """

    model_name: str = "sam3"
    weight_file: str | None = None
    device: str | None = None
    precision: str = "auto"

    def load(self) -> Segmenter:
        """The engine; the weights are fetched if they are nowhere on this machine."""
        from ..engine import Engine

        return Engine.load(self.model_name, self.weight_file, self.device, self.precision)  # type: ignore[arg-type]

    def describe(self) -> dict[str, Any]:
        """What results depend on, as plain data. Finds the weights, does not load them."""
        from ..engine.checkpoints.zoo import find_weights

        return {
            "model": self.model_name,
            "weights": _hash_ends(find_weights(self.model_name, self.weight_file)),
            "precision": self.precision,
        }


@dataclasses.dataclass(frozen=True)
class MaxBad:
    """How many images may fail before a job stops.

    Attributes:
        count: That many.
        share: That share of all images, 0..1; used where ``count`` is None.
    """

    count: int | None = None
    share: float = 1.0

    def allowed(self, images: int) -> float:
        """Most failures of a job of so many images."""
        return self.share * images if self.count is None else self.count

    def __str__(self) -> str:
        return f"{self.share:.4g} of all" if self.count is None else str(self.count)


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """All options of a labeling job.

    Attributes:
        images: Address of the images.
        out: Address of the output folder.
        prompts: What is asked of each image.
        model: Which model labels.
        input_size_percent: Shrinks images before the model's own resize, 1..100.
        shard_size: Most images of a shard.
        decoders: Threads that read and decode.
        refresh: Whether changed files are labeled again.
        max_bad: How many images may fail.
    """

    images: str
    out: str
    prompts: PromptSource
    model: ModelOptions
    input_size_percent: float = 100
    shard_size: int = 16
    decoders: int = 2
    refresh: bool = False
    max_bad: MaxBad = MaxBad()

    def __post_init__(self) -> None:
        validation.to_number("input_size_percent", self.input_size_percent, 1, 100)
        validation.to_whole_number("shard", self.shard_size, 1, MAX_SHARD_SIZE)
        validation.to_whole_number("decoders", self.decoders, 1, 64)

    def describe_settings(self) -> dict[str, Any]:
        """All that the results depend on but the images, as plain data by option."""
        return {
            **self.model.describe(),
            "input_size_percent": self.input_size_percent,
            **self.prompts.describe(),
        }


def parse_max_bad(text: str) -> MaxBad:
    """Reads a number of images (``20``) or a share of all (``1%``); else ValueError."""
    stripped = text.strip()
    if stripped.endswith("%"):
        return MaxBad(share=parsing.parse_number("max_bad", stripped[:-1], 0, 100) / 100)
    return MaxBad(count=parsing.parse_integer("max_bad", stripped, 0, 10**12))


def choose_prompts(
    text: str = "",
    everything: bool = False,
    boxes: str = "",
    boxes_as: str = "objects",
    exemplars: str = "",
    exemplar_labels: str = "",
    threshold: float = 0.5,
    tiles: str = "off",
    min_area: int = 0,
    overlap: str = "keep",
    points_per_side: int = 32,
) -> PromptSource:
    """The prompts that the options of the command line stand for.

    Args:
        text: Concepts as ``person, red car:0.4``.
        everything: Whether to segment all there is.
        boxes: Address of a COCO file with boxes.
        boxes_as: ``objects`` or ``exemplars``.
        exemplars: Exemplar boxes at the same place in every image (a fixed camera).
        exemplar_labels: 1 or 0 for each of them.
        threshold: Of concepts without one of their own.
        tiles: ``off``, ``auto`` or a number of tiles a side.
        min_area: Smallest mask kept, in pixels.
        overlap: ``keep`` or ``best``.
        points_per_side: Points of the grid for ``everything``.

    Returns:
        What is asked of each image.

    Raises:
        ValueError: If a value is wrong, or not exactly one kind of prompt is given.
    """
    kinds = [bool(text.strip() or exemplars.strip()), everything, bool(boxes)]
    if sum(kinds) != 1:
        raise ValueError(
            "text: expected exactly one of text (or exemplars), everything and boxes, "
            f"got {sum(kinds)} of them"
        )
    if boxes:
        return BoxPrompts(boxes, boxes_as, threshold)  # type: ignore[arg-type]
    if everything:
        return SamePrompt(
            EverythingPrompt(
                validation.to_whole_number(
                    "points_per_side", points_per_side, 1, validation.MAX_POINTS_PER_SIDE
                ),
                validation.to_whole_number("min_area", min_area, 0, validation.MAX_AREA_PX),
            )
        )
    concepts = concept_text.parse_concepts("text", text)
    boxes_xyxy = parsing.parse_boxes("exemplars", exemplars)
    labels = parsing.parse_box_labels("exemplar_labels", exemplar_labels)
    validation.check_same_count("exemplar_labels", len(labels), len(boxes_xyxy), "exemplars")
    return SamePrompt(
        ConceptPrompt(
            texts=tuple(concept.text for concept in concepts),
            thresholds=tuple(concept.threshold for concept in concepts),
            exemplars_xyxy=boxes_xyxy,
            exemplar_labels=labels,
            confidence_threshold=validation.to_number("threshold", threshold, 0, 1),
            overlap=validation.check_choice("overlap", overlap, ("keep", "best")),  # type: ignore[arg-type]
            min_area_px=validation.to_whole_number("min_area", min_area, 0, validation.MAX_AREA_PX),
            tiles=parsing.parse_tiles("tiles", tiles),
        )
    )


def choose_model(
    model: str, weights: str | None, device: str | None, precision: str
) -> ModelOptions:
    """The model that the options of the command line stand for.

    Raises:
        ValueError: If a name is unknown, the weights are not there, or the device is not.
    """
    import torch

    from ..engine.checkpoints.zoo import MODELS

    validation.check_choice("model", model, tuple(MODELS))
    validation.check_choice("precision", precision, ("auto", "float32", "bfloat16"))
    if weights and not Path(weights).expanduser().is_file():
        raise value_error("weights", "a file that is there", weights)
    if device:
        try:
            kind = torch.device(device).type
        except RuntimeError:
            raise value_error("device", "cpu, cuda or cuda:N", device) from None
        if kind == "cuda" and not torch.cuda.is_available():
            raise value_error("device", "a device of this machine (it has no GPU)", device)
    return ModelOptions(model, weights or None, device or None, precision)


def check_output_formats(formats: Sequence[str], known: Sequence[str]) -> None:
    """Raises ValueError unless every format is known."""
    for name in formats:
        validation.check_choice("formats", name, known)


def _hash_ends(path: Path) -> str:
    """Tells weights apart in milliseconds: their size, first and last MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        digest.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]
