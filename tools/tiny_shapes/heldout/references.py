"""Measures segmentation by exemplar boxes that lie in a reference image."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ....engine import ConceptPrompt, Engine, Instance, Mask, ReferenceImage
from ..painting import draw_random_hw
from ..scenes import COLORS, EXTENT_RANGE, KINDS, Canvas, Scene, Shape, draw_scene
from .matching import Measure, Tally, get_box

SIDE_RANGE_PX = (200, 2000)
MAX_SHAPES = 6
SAME_LOOK_SHARE = 0.25
"""With look-alikes: share of a target's other shapes with the example's color and kind."""


class Pair(NamedTuple):
    """Holds a shape of one image, the example, and another image with shapes that look the same.

    Attributes:
        reference: The image with the example.
        example: One of its shapes.
        target: The image to segment, with another background, sizes and rotations.
    """

    reference: Scene
    example: Shape
    target: Scene

    @property
    def matches(self) -> list[Shape]:
        """Shapes of the target with the example's color and kind."""
        return self.target.find_matching(self.phrase)

    @property
    def phrase(self) -> str:
        """Color and kind of the example, as a text prompt."""
        return f"{self.example.color} {self.example.kind}"

    @property
    def prompt(self) -> ConceptPrompt:
        """Prompt with the example's box in the reference image."""
        reference = ReferenceImage(self.reference.image)
        return ConceptPrompt(exemplars_xyxy=(get_box(self.example),), reference=reference)


def draw_pair(
    rng: np.random.Generator,
    with_lookalikes: bool = False,
    side_range_px: tuple[int, int] = SIDE_RANGE_PX,
) -> Pair:
    """Draws a reference image, and a target image with at least one shape like its example.

    Args:
        rng: Source of every random choice.
        with_lookalikes: Whether all other shapes there have its color or its kind; else any.
        side_range_px: Least short side and greatest long side of each image, in pixels.

    Returns:
        The pair.
    """
    reference = draw_scene(rng, side_range_px)
    example = reference.shapes[int(rng.integers(len(reference.shapes)))]
    while True:
        canvas = Canvas(rng, draw_random_hw(rng, side_range_px, max_aspect=2.0))
        others = int(rng.integers(MAX_SHAPES))
        looks = [(example.color, example.kind)]
        looks += [_choose_look(rng, example, with_lookalikes) for _ in range(others)]
        for color, kind in looks:
            pixels = canvas.find_free_place(kind, EXTENT_RANGE)
            if pixels is not None:
                canvas.add(color, kind, pixels)
        pair = Pair(reference, example, canvas.scene())
        if pair.matches:
            return pair


def _choose_look(
    rng: np.random.Generator, example: Shape, with_lookalikes: bool
) -> tuple[str, str]:
    """Draws a color and kind: any, or the example's own, or with one of the two its own."""
    color, kind = str(rng.choice(list(COLORS))), str(rng.choice(KINDS))
    if not with_lookalikes:
        return color, kind
    if rng.random() < SAME_LOOK_SHARE:
        return example.color, example.kind
    return (example.color, kind) if rng.random() < 0.5 else (color, example.kind)


def draw_pairs(seed: int, count: int, with_lookalikes: bool = False) -> Iterator[Pair]:
    """Draws pairs of scenes that training never saw; each depends on its own index alone."""
    for index in range(count):
        yield draw_pair(np.random.default_rng((seed, index)), with_lookalikes)


def measure_references(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures F1 at IoU 0.5 of an exemplar box in another image, on a pair for each scene.

    The box alone; with a text of its color and kind; as a negative box with a text of its kind,
    where the target has another color of that kind; and alone among look-alikes. For
    comparison: both images side by side in one, and a box in the target itself.
    """
    alone, named, negative, beside, own = (Tally() for _ in range(5))
    for pair in draw_pairs(seed, scenes):
        image, matches = pair.target.image, pair.matches
        prompt = pair.prompt
        alone.add(engine.segment(image, prompt).instances, matches)
        with_name = dataclasses.replace(prompt, texts=(pair.phrase,))
        named.add(engine.segment(image, with_name).instances, matches)
        rest = [
            s for s in pair.target.find_matching(pair.example.kind) if s.color != pair.example.color
        ]
        if rest:
            without = dataclasses.replace(prompt, texts=(pair.example.kind,), exemplar_labels=(0,))
            negative.add(engine.segment(image, without).instances, rest)
        beside.add(segment_side_by_side(engine, pair), matches)
        own.add(_segment_own(engine, pair), matches)
    near, own_near = Tally(), Tally()
    for pair in draw_pairs(seed, scenes, with_lookalikes=True):
        near.add(engine.segment(pair.target.image, pair.prompt).instances, pair.matches)
        own_near.add(_segment_own(engine, pair), pair.matches)
    return {
        "reference_f1": alone.f1,
        "reference_text_f1": named.f1,
        "reference_negative_f1": negative.f1,
        "side_by_side_f1": beside.f1,
        "own_box_f1": own.f1,
        "reference_lookalikes_f1": near.f1,
        "own_box_lookalikes_f1": own_near.f1,
    }


def _segment_own(engine: Engine, pair: Pair) -> Sequence[Instance]:
    """Segments the target with the box of one of its own shapes."""
    prompt = ConceptPrompt(exemplars_xyxy=(get_box(pair.matches[0]),))
    return engine.segment(pair.target.image, prompt).instances


def segment_side_by_side(engine: Engine, pair: Pair) -> Sequence[Instance]:
    """Segments one image made of the reference and the target, side by side.

    They are joined at the longer side of the target, to which the reference is scaled.

    Args:
        engine: The engine.
        pair: The two images.

    Returns:
        The instances that lie in the target for the most part, their masks in its pixels.
    """
    reference, target = pair.reference.image, pair.target.image
    height, width = target.shape[:2]
    is_row = height >= width
    scale = height / reference.shape[0] if is_row else width / reference.shape[1]
    size = max(1, round(reference.shape[1] * scale)), max(1, round(reference.shape[0] * scale))
    scaled = cv2.resize(reference, size, interpolation=cv2.INTER_AREA)
    picture: npt.NDArray[np.uint8] = np.concatenate([scaled, target], axis=1 if is_row else 0)
    left, top = (scaled.shape[1], 0) if is_row else (0, scaled.shape[0])
    x1, y1, x2, y2 = (value * scale for value in get_box(pair.example))
    prompt = ConceptPrompt(exemplars_xyxy=((x1, y1, x2, y2),))
    found = []
    for instance in engine.segment(picture, prompt).instances:
        mask = Mask.from_full(instance.mask.full()[top:, left:])
        if 2 * mask.area > instance.mask.area:
            found.append(Instance(0, instance.score, instance.box_xyxy, mask))
    return found


MEASURES: tuple[Measure, ...] = (measure_references,)
