"""Declares the options of a job, checked before the first image is read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..engine import Prompt, Result, parsing, validation
from ..engine.validation import value_error
from .prompt_sources import PromptSource

MAX_SHARD_SIZE = 100_000
_FINGERPRINT_BYTES = 1024**2


class Segmenter(Protocol):
    """Declares the method of an engine that the job calls."""

    def segment(
        self, image: npt.NDArray[np.uint8], prompt: Prompt, input_size_percent: float = 100
    ) -> Result:
        """Segments an image, see ``Engine.segment``."""


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Chooses the model that labels, and how it runs.

    Attributes:
        model_name: ``sam3`` or ``tiny_shapes``.
        weight_file: A local checkpoint, or ``base + adapter_folder``; wins over the download.
        device: ``cpu``, ``cuda``, ``cuda:1``; None for the GPU where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        input_size: Side of the model's input in pixels, or ``auto`` for its own.
    """

    model_name: str = "sam3"
    weight_file: str | None = None
    device: str | None = None
    precision: str = "auto"
    input_size: int | Literal["auto"] = "auto"

    def load(self) -> Segmenter:
        """Loads the engine; the weights are downloaded if they are not on this machine."""
        from ..engine import Engine

        return Engine.load(
            self.model_name,
            self.weight_file,
            self.device,
            self.precision,  # type: ignore[arg-type]
            self.input_size,
        )

    def describe(self) -> dict[str, Any]:
        """Describes the model as plain data. Finds the weights, does not load them."""
        from ..engine.checkpoints.zoo import find_weight_files

        return {
            "model": self.model_name,
            "weights": _hash_ends(find_weight_files(self.model_name, self.weight_file).paths),
            "precision": self.precision,
            "input_size": self.input_size,
        }


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


def choose_model(
    model: str = "sam3",
    weights: str | None = None,
    device: str | None = None,
    precision: str = "auto",
    input_size: str = "auto",
) -> ModelOptions:
    """Checks which model to run, and how.

    Args:
        model: ``sam3`` or ``tiny_shapes``.
        weights: A local checkpoint, or ``base + adapter_folder``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None for the GPU where there is one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        input_size: Side of the model's input in pixels, or ``auto``.

    Returns:
        The model.

    Raises:
        WeightsError: If the weights are not there.
        ValueError: If a name is unknown, the device is not there, or the model cannot run at
            that size.
    """
    from ..engine.checkpoints.zoo import MODELS, find_weight_files, resolve_input_size

    validation.check_choice("model", model, tuple(MODELS))
    validation.check_choice("precision", precision, ("auto", "float32", "bfloat16"))
    size = parsing.parse_input_size("input_size", input_size)
    resolve_input_size(model, size)
    if weights:
        find_weight_files(model, weights)
    if device:
        import torch

        try:
            kind = torch.device(device).type
        except RuntimeError:
            raise value_error("device", "cpu, cuda or cuda:N", device) from None
        if kind == "cuda" and not torch.cuda.is_available():
            raise value_error("device", "a device of this machine (it has no GPU)", device)
    return ModelOptions(model, weights or None, device or None, precision, size)


def _hash_ends(paths: Iterable[Path]) -> str:
    """Hashes the size and the first and last MiB of weights files, in milliseconds."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]
