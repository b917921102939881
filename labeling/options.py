"""Declares the options of a job, checked before the first image is read."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..engine import Prompt, Result, parsing, validation
from ..engine.model_options import ModelOptions
from .prompt_sources import PromptSource

MAX_SHARD_SIZE = 100_000


class StopJobError(RuntimeError):
    """A segmenter raises it to end a job: what failed is not the image's fault."""


class Segmenter(Protocol):
    """Declares the method of an engine that the job calls."""

    def segment(
        self, image: npt.NDArray[np.uint8], prompt: Prompt, input_size_percent: float = 100
    ) -> Result:
        """Segments an image, see ``Engine.segment``."""


@dataclasses.dataclass(frozen=True)
class MaxBad:
    """Bounds how many images may fail before a job stops.

    Attributes:
        count: That many.
        share: That share of all images, 0..1; used where ``count`` is None.
    """

    count: int | None = None
    share: float = 1.0

    def count_allowed(self, images: int) -> float:
        """Returns the most failures of a job of so many images."""
        return self.share * images if self.count is None else self.count

    def __str__(self) -> str:
        return f"{self.share:.4g} of all" if self.count is None else str(self.count)


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """Holds all options of a labeling job.

    Attributes:
        images: Address of the images.
        out: Address of the output folder.
        prompts: The prompts of each image.
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
        """Describes everything but the images that results depend on, as plain data by option."""
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
