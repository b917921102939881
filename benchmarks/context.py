"""Holds what the measurements of a run share: the model, new images, new texts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject, Result
from ..engine.images import RgbImage
from ..engine.model.precision import Precision
from ..tools.sam3_package import Sam3Package, State
from ..tools.tiny_shapes.scenes import draw_scene, list_phrases
from .table import Row
from .timing import T, time_in_turns

PHOTO_HW = (1200, 1800)
PHOTO = f"{PHOTO_HW[1]}×{PHOTO_HW[0]}"
CLICK_XY = (0.4, 0.6)
"""Where clicks go, as fractions of the image's width and height."""


def draw_image(seed: int, hw: tuple[int, int] = PHOTO_HW) -> RgbImage:
    """Draws six shapes, one of them where clicks go; another image for every seed."""
    rng = np.random.default_rng((77, seed))
    while True:
        scene = draw_scene(rng, (480, 800), count_range=(6, 6))
        x, y = (int(value) for value in get_click_xy(scene.image))
        if any(shape.mask[y, x] for shape in scene.shapes):
            return np.asarray(cv2.resize(scene.image, hw[::-1]), np.uint8)


def get_click_xy(image: RgbImage) -> tuple[float, float]:
    """Returns :data:`CLICK_XY` in pixels of an image."""
    return CLICK_XY[0] * image.shape[1], CLICK_XY[1] * image.shape[0]


def click(engine: Engine, image: RgbImage) -> Result:
    """Segments what is at :data:`CLICK_XY`."""
    return engine.segment(image, ObjectPrompt((PromptedObject(points_xy=(get_click_xy(image),)),)))


def compare(
    what: str,
    inputs: Iterable[T],
    ours: Callable[[T], object],
    theirs: Callable[[T], object],
    **fields: Any,
) -> Row:
    """Times two functions on the same inputs, in turns, and makes a row of them.

    ``theirs`` is the package's way unless ``reference_name``, one of the fields of
    :class:`Row`, says otherwise. The row is in milliseconds.
    """
    measured, reference = time_in_turns(inputs, ours, theirs)
    return Row(what, measured, "ms", reference, **fields)


@dataclasses.dataclass
class BenchmarkContext:
    """Holds the model, new images and new texts for the measurements of one run.

    Attributes:
        model_name: ``sam3`` or ``tiny_shapes``.
        weight_file: Weights of ``sam3``, or None for the bundled ones.
        device: ``cpu`` or ``cuda``.
        precision: Of everything, unless a row says otherwise.
        repeats: Rounds of what takes milliseconds.
        images: Images that this run has not used, (1200, 1800, 3) uint8.
        texts: Texts that this run has not used: first those that the bundled model was trained on.
    """

    model_name: str
    weight_file: Path | None
    device: str
    precision: Precision
    repeats: int
    images: Iterator[RgbImage] = dataclasses.field(
        default_factory=lambda: map(draw_image, itertools.count(1))
    )
    texts: Iterator[str] = dataclasses.field(
        default_factory=lambda: itertools.chain(
            list_phrases(), (f"{number} circles" for number in itertools.count())
        )
    )

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

    def take(self, source: Iterator[T]) -> list[T]:
        """Takes an image or a text for each of :attr:`slow_repeats` rounds."""
        return list(itertools.islice(source, self.slow_repeats))

    def load_engine(self, precision: Precision, input_size: Any = "auto") -> Engine:
        """Loads the engine with a precision and an input size."""
        return Engine.load(self.model_name, self.weight_file, self.device, precision, input_size)

    @functools.cached_property
    def engine(self) -> Engine:
        """Loads the engine in ``precision``."""
        return self.load_engine(self.precision)

    @functools.cached_property
    def package(self) -> Sam3Package:
        """Wraps the engine's model in the package, in the engine's precision."""
        return Sam3Package(self.engine)

    @functools.cached_property
    def encoded(self) -> tuple[RgbImage, State]:
        """Encodes an image with both; returns the image and the package's state."""
        image = next(self.images)
        click(self.engine, image)
        return image, self.package.encode(image)

    def find_threshold(self, text: str, wanted: int = 5) -> float:
        """Finds a threshold that about ``wanted`` instances of a text pass on ``encoded``."""
        scores = self.package.score_queries(self.encoded[1], text)
        distinct = sorted(set(scores), reverse=True)
        return next(v for v in [*distinct, 0.0] if sum(s > v for s in scores) >= wanted)

    def segment_texts(self, image: RgbImage, texts: Sequence[str], threshold: float) -> int:
        """Segments texts by the engine; returns the number of instances."""
        prompt = ConceptPrompt(tuple(texts), confidence_threshold=threshold)
        return len(self.engine.segment(image, prompt).instances)

    def segment_texts_by_package(
        self, image: RgbImage, texts: Sequence[str], threshold: float
    ) -> None:
        """Does what :meth:`segment_texts` does with the package, which takes one at a time."""
        state = self.package.encode(image)
        for text in texts:
            self.package.segment_concept(state, text, threshold)

    def click_by_package(self, image: RgbImage, state: State | None = None) -> object:
        """Does what :func:`click` does with the package; encodes the image without a state."""
        return self.package.segment_objects(
            state or self.package.encode(image),
            point_coords=np.array([get_click_xy(image)], np.float32),
            point_labels=np.array([1], np.int32),
            multimask_output=False,
        )
