"""The two that are measured: this engine, and Meta's package around the same model."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ..tools.tiny_shapes.scenes import Scene, draw_scene, phrases

if TYPE_CHECKING:
    from ..engine.model.precision import Precision

RgbImage = npt.NDArray[np.uint8]

PHOTO_HW = (1200, 1800)
WANTED_INSTANCES = 5
CLICK_XY = (0.4, 0.6)
"""Where clicks go, as fractions of the image's sides."""


def picture(seed: int, hw: tuple[int, int] = PHOTO_HW) -> RgbImage:
    """A scene of its own for every seed, (H, W, 3) uint8."""
    return np.asarray(cv2.resize(_scene(seed).image, hw[::-1]), np.uint8)


def _scene(seed: int) -> Scene:
    return draw_scene(np.random.default_rng((77, seed)), (480, 800), count_range=(6, 6))


def _has_a_shape_to_click(scene: Scene) -> bool:
    height, width = scene.image.shape[:2]
    x, y = int(CLICK_XY[0] * width), int(CLICK_XY[1] * height)
    return any(shape.mask[y, x] for shape in scene.shapes)


@dataclasses.dataclass
class Subjects:
    """What all measurements of one run share.

    Attributes:
        model_name: ``sam3`` with random weights, or the bundled one.
        weight_file: Weights of ``sam3``, or None for those bundled.
        device: ``cpu`` or ``cuda``.
        precision: What everything runs in where nothing else is said.
        repeats: Rounds of what takes milliseconds; what takes seconds has two.
    """

    model_name: str
    weight_file: Path | None
    device: str
    precision: Precision
    repeats: int
    _phrases: Iterator[str] = dataclasses.field(default_factory=lambda: endless_phrases())
    _pictures: int = 0

    @property
    def is_full_size(self) -> bool:
        """Whether this is the real architecture, where an encoding takes seconds."""
        return self.model_name == "sam3"

    @functools.cached_property
    def engine(self) -> Any:
        """Our engine in ``precision``."""
        return self.engine_in(self.precision)

    @functools.cached_property
    def package(self) -> Package:
        """The package around the engine's model, in the engine's precision."""
        return Package(self.engine)

    def engine_in(self, precision: Precision) -> Any:
        """Our engine in some precision."""
        from ..engine import Engine

        return Engine.load(self.model_name, self.weight_file, self.device, precision)

    def new_picture(self, hw: tuple[int, int] = PHOTO_HW) -> RgbImage:
        """A picture that was not drawn before in this run."""
        self._pictures += 1
        return picture(self._pictures, hw)

    def new_phrase(self) -> str:
        """A text that was not asked before in this run."""
        return next(self._phrases)

    @functools.cached_property
    def seen(self) -> tuple[RgbImage, dict[str, Any]]:
        """A picture that is encoded, with a state of it for the package's calls.

        There is a shape where clicks go.
        """
        while not _has_a_shape_to_click(_scene(self._pictures + 1)):
            self._pictures += 1
        image = self.new_picture()
        self.engine.segment(image, click(image))
        # Ours is what the package's set_image gives, and an encoding takes long.
        state = self.engine._encoder.encode(image)[0].state
        return image, {**state, "backbone_out": dict(state["backbone_out"])}


def endless_phrases() -> Iterator[str]:
    """Phrases that the bundled model knows, then others."""
    yield from phrases()
    for number in range(10**6):
        yield f"{number} circles"


def click_xy(image: RgbImage) -> tuple[float, float]:
    """:data:`CLICK_XY` in pixels of an image."""
    return CLICK_XY[0] * image.shape[1], CLICK_XY[1] * image.shape[0]


def click(image: RgbImage) -> Any:
    """One click on an image."""
    from ..engine import ObjectPrompt, PromptedObject

    return ObjectPrompt((PromptedObject(points_xy=(click_xy(image),)),))


class Package:
    """Meta's package, called as its own notebooks call it.

    It shares the engine's model, in which nothing is changed.
    """

    def __init__(self, engine: Any) -> None:
        from sam3.model.sam3_image_processor import Sam3Processor

        self.model = engine.model
        self.device, self.precision = engine.device, engine.precision
        self.processor = Sam3Processor(
            engine.model, resolution=engine.image_size, device=str(engine.device)
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The package's calls in the engine's precision, and with as many threads."""
        import torch

        from ..engine.runtime.openmp import full_teams

        bfloat16 = self.precision == "bfloat16"
        with (
            full_teams(),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16),
        ):
            yield

    def encoded(self, image: RgbImage) -> dict[str, Any]:
        """``set_image``."""
        from PIL import Image

        with self.running():
            return self.processor.set_image(Image.fromarray(image))

    def text(self, state: dict[str, Any], phrase: str, threshold: float) -> dict[str, Any]:
        """``set_text_prompt`` on a state without prompts; masks on the host."""
        self.processor.confidence_threshold = threshold
        with self.running():
            self.processor.reset_all_prompts(state)
            found = self.processor.set_text_prompt(phrase, state)
            found["masks"] = found["masks"].cpu()
        return found

    def click(self, state: dict[str, Any], image: RgbImage) -> Any:
        """``predict_inst`` with one point."""
        with self.running():
            return self.model.predict_inst(
                state,
                point_coords=np.array([click_xy(image)], np.float32),
                point_labels=np.array([1], np.int32),
                multimask_output=False,
            )

    def threshold(self, state: dict[str, Any], phrase: str, wanted: int) -> float:
        """A threshold that about as many instances of a phrase pass on a picture."""
        scores = self.scores(state, phrase)
        distinct = sorted(set(scores), reverse=True)
        return next(v for v in [*distinct, 0.0] if sum(s > v for s in scores) >= wanted)

    def scores(self, state: dict[str, Any], phrase: str) -> list[float]:
        """Scores of all queries for a phrase."""
        with self.running():
            features = {
                **state["backbone_out"],
                **self.model.backbone.forward_text([phrase], device=self.device),
            }
            out = self.model.forward_grounding(
                backbone_out=features,
                find_input=self.processor.find_stage,
                geometric_prompt=self.model._get_dummy_prompt(),
                find_target=None,
            )
            presence = out["presence_logit_dec"].sigmoid().unsqueeze(1)
            return (out["pred_logits"].sigmoid() * presence).flatten().float().tolist()
