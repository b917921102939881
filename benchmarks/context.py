"""Holds what the measurements of a run share: the model, new images, new texts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ..tools.tiny_shapes.scenes import Scene, draw_scene, list_phrases
from .table import Row
from .timing import time_in_turns

if TYPE_CHECKING:
    from ..engine import Engine, ObjectPrompt
    from ..engine.model.precision import Precision
    from ..tools.sam3_package import Sam3Package

T = TypeVar("T")
RgbImage = npt.NDArray[np.uint8]

PHOTO_HW = (1200, 1800)
PHOTO = f"{PHOTO_HW[1]}×{PHOTO_HW[0]}"
WANTED_INSTANCES = 5
CLICK_XY = (0.4, 0.6)
"""Where clicks go, as fractions of the image's width and height."""


def draw_image(seed: int, hw: tuple[int, int] = PHOTO_HW) -> RgbImage:
    """Draws a scene of its own for every seed, (H, W, 3) uint8."""
    return np.asarray(cv2.resize(_draw_scene(seed).image, hw[::-1]), np.uint8)


def get_click_xy(image: RgbImage) -> tuple[float, float]:
    """Returns :data:`CLICK_XY` in pixels of an image."""
    return CLICK_XY[0] * image.shape[1], CLICK_XY[1] * image.shape[0]


def make_click(image: RgbImage) -> ObjectPrompt:
    """Makes a prompt of one click."""
    from ..engine import ObjectPrompt, PromptedObject

    return ObjectPrompt((PromptedObject(points_xy=(get_click_xy(image),)),))


def compare(
    what: str,
    inputs: Iterable[T],
    ours: Callable[[T], object],
    theirs: Callable[[T], object],
    **fields: Any,
) -> Row:
    """Times two ways to do the same thing, in turns, and makes a row of them.

    Args:
        what: What is measured.
        inputs: What each way is called with, one value a round.
        ours: The way that is measured.
        theirs: The way that it is compared with, the package unless ``reference_name`` says.
        fields: Further fields of the row.

    Returns:
        The row, in milliseconds.
    """
    measured, reference = time_in_turns(inputs, ours, theirs)
    return Row(what, measured, "ms", reference, **fields)


def write_random_weights(path: Path) -> Path:
    """Writes a full-size checkpoint in Meta's layout, with seeded random weights."""
    import torch

    from ..engine.checkpoints.layouts import get_meta_name
    from ..engine.model.config import SAM3
    from ..tools.random_weights import build_random_model

    state = build_random_model(SAM3).state_dict()
    torch.save({get_meta_name(name): tensor for name, tensor in state.items()}, path)
    return path


@dataclasses.dataclass
class BenchmarkContext:
    """Holds the model, new images and new texts for the measurements of one run.

    Attributes:
        model_name: ``sam3`` or ``tiny_shapes``.
        weight_file: Weights of ``sam3``, or None for the bundled ones.
        device: ``cpu`` or ``cuda``.
        precision: Of everything, unless a row says otherwise.
        repeats: Rounds of what takes milliseconds.
    """

    model_name: str
    weight_file: Path | None
    device: str
    precision: Precision
    repeats: int
    _texts: Iterator[str] = dataclasses.field(default_factory=lambda: _generate_texts())
    _images: int = 0

    @property
    def is_full_size(self) -> bool:
        """Whether the model has the sizes of the real one."""
        return self.model_name == "sam3"

    @property
    def is_slow(self) -> bool:
        """Whether an image takes many seconds to encode."""
        return self.is_full_size and self.device == "cpu"

    @property
    def slow_repeats(self) -> int:
        """Rounds of what encodes images or texts."""
        return 2 if self.is_slow else self.repeats

    @functools.cached_property
    def engine(self) -> Engine:
        """Loads the engine in ``precision``."""
        return self.load_engine(self.precision)

    @functools.cached_property
    def package(self) -> Sam3Package:
        """Wraps the engine's model in the package, in the engine's precision."""
        from ..tools.sam3_package import Sam3Package

        return Sam3Package(self.engine)

    def load_engine(self, precision: Precision, input_size: Any = "auto") -> Engine:
        """Loads the engine in a precision, with a side of the model's input."""
        from ..engine import Engine

        return Engine.load(self.model_name, self.weight_file, self.device, precision, input_size)

    def draw_new_image(self, hw: tuple[int, int] = PHOTO_HW) -> RgbImage:
        """Draws an image that this run has not used."""
        self._images += 1
        return draw_image(self._images, hw)

    def draw_new_images(self) -> list[RgbImage]:
        """Draws an image for each of :attr:`slow_repeats` rounds."""
        return [self.draw_new_image() for _ in range(self.slow_repeats)]

    def get_new_text(self) -> str:
        """Returns a text that this run has not used."""
        return next(self._texts)

    def get_new_texts(self) -> list[str]:
        """Returns a text for each of :attr:`slow_repeats` rounds."""
        return [self.get_new_text() for _ in range(self.slow_repeats)]

    @functools.cached_property
    def encoded(self) -> tuple[RgbImage, dict[str, Any]]:
        """Encodes an image by engine and package; returns it and the package's state.

        There is a shape where clicks go.
        """
        while not _has_shape_at_click(_draw_scene(self._images + 1)):
            self._images += 1
        image = self.draw_new_image()
        self.engine.segment(image, make_click(image))
        return image, self.package.encode(image)

    def find_threshold(self, text: str, wanted: int = WANTED_INSTANCES) -> float:
        """Finds a threshold that about ``wanted`` instances of a text pass on ``encoded``."""
        scores = self.package.score_queries(self.encoded[1], text)
        distinct = sorted(set(scores), reverse=True)
        return next(v for v in [*distinct, 0.0] if sum(s > v for s in scores) >= wanted)

    def segment_texts(self, image: RgbImage, texts: list[str], threshold: float) -> int:
        """Segments texts by the engine; returns the number of instances."""
        from ..engine import ConceptPrompt

        prompt = ConceptPrompt(tuple(texts), confidence_threshold=threshold)
        return len(self.engine.segment(image, prompt).instances)

    def click_by_package(self, image: RgbImage, state: dict[str, Any]) -> object:
        """Calls ``predict_inst`` with the click of :func:`make_click`."""
        return self.package.segment_objects(
            state,
            point_coords=np.array([get_click_xy(image)], np.float32),
            point_labels=np.array([1], np.int32),
            multimask_output=False,
        )


def _generate_texts() -> Iterator[str]:
    """Yields phrases that the bundled model knows, then others."""
    yield from list_phrases()
    yield from (f"{number} circles" for number in itertools.count())


def _draw_scene(seed: int) -> Scene:
    return draw_scene(np.random.default_rng((77, seed)), (480, 800), count_range=(6, 6))


def _has_shape_at_click(scene: Scene) -> bool:
    x, y = (int(value) for value in get_click_xy(scene.image))
    return any(shape.mask[y, x] for shape in scene.shapes)
