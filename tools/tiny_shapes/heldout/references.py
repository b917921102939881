"""Held-out scores of exemplar boxes that lie in another picture than the one searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ....engine import ConceptPrompt, Engine, Instance, Mask, ReferenceImage
from ..painting import random_hw
from ..scenes import COLORS, EXTENT_RANGE, KINDS, Canvas, Scene, Shape, draw_scene
from .matching import Measure, Tally, box_of

SIDE_RANGE_PX = (200, 2000)
ALIKE_RANGE = (1, 3)
MAX_STRANGERS = 3
RELATED_SHARE = 0.5
"""Share of the strangers that have the color or the kind of the example, but not both."""


class Pair(NamedTuple):
    """An example in one picture and another picture to look for its like.

    Attributes:
        reference: The picture with the example.
        example: One of its shapes.
        target: Another picture: its own background, sizes and rotations.
    """

    reference: Scene
    example: Shape
    target: Scene

    @property
    def alike(self) -> list[Shape]:
        """Shapes of the target that look like the example."""
        return self.target.matching(self.phrase)

    @property
    def phrase(self) -> str:
        """What the example is called."""
        return f"{self.example.color} {self.example.kind}"


def draw_pair(rng: np.random.Generator, side_range_px: tuple[int, int] = SIDE_RANGE_PX) -> Pair:
    """Draws a picture with an example, and another with 1 to 3 of its like among others.

    Args:
        rng: Source of every random choice.
        side_range_px: Least short side and greatest long side of each picture, in pixels.

    Returns:
        The pair.
    """
    reference = draw_scene(rng, side_range_px)
    example = reference.shapes[int(rng.integers(len(reference.shapes)))]
    while True:
        canvas = Canvas(rng, random_hw(rng, side_range_px, max_aspect=2.0))
        looks = [(example.color, example.kind)] * int(rng.integers(*ALIKE_RANGE, endpoint=True))
        looks += [_choose_stranger(rng, example) for _ in range(rng.integers(MAX_STRANGERS + 1))]
        for color, kind in looks:
            pixels = canvas.free_place(kind, EXTENT_RANGE)
            if pixels is not None:
                canvas.add(color, kind, pixels)
        pair = Pair(reference, example, canvas.scene())
        if pair.alike:
            return pair


def _choose_stranger(rng: np.random.Generator, example: Shape) -> tuple[str, str]:
    """A color and kind that are not both the example's."""
    own = example.color, example.kind
    while True:
        color, kind = str(rng.choice(list(COLORS))), str(rng.choice(KINDS))
        if rng.random() < RELATED_SHARE:
            color, kind = (own[0], kind) if rng.random() < 0.5 else (color, own[1])
        if (color, kind) != own:
            return color, kind


def draw_pairs(seed: int, count: int) -> Iterator[Pair]:
    """Draws pairs of scenes that training never saw; each depends on its own index alone."""
    for index in range(count):
        yield draw_pair(np.random.default_rng((seed, index)))


def references(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """F1 at IoU 0.5 of an exemplar box in another picture, one pair for each scene.

    Alone, with the name of the example, and as "not like this" beside the name of its kind
    (where another color of it is there). Then the two ways that need nothing of the engine: the
    box in both pictures side by side, and, for comparison, a box in the target itself.
    """
    tallies = {name: Tally() for name in ("alone", "named", "negative", "beside", "own")}
    for pair in draw_pairs(seed, scenes):
        box, image = (box_of(pair.example),), pair.target.image
        reference = ReferenceImage(pair.reference.image)
        alone = ConceptPrompt(exemplars_xyxy=box, reference=reference)
        named = ConceptPrompt((pair.phrase,), exemplars_xyxy=box, reference=reference)
        own = ConceptPrompt(exemplars_xyxy=(box_of(pair.alike[0]),))
        for name, prompt in (("alone", alone), ("named", named), ("own", own)):
            tallies[name].add(engine.segment(image, prompt).instances, pair.alike)
        tallies["beside"].add(segment_side_by_side(engine, pair), pair.alike)
        kind = pair.example.kind
        rest = [s for s in pair.target.matching(kind) if s.color != pair.example.color]
        if rest:
            without = ConceptPrompt((kind,), (), box, (0,), reference=reference)
            tallies["negative"].add(engine.segment(image, without).instances, rest)
    return {
        "reference_f1": tallies["alone"].f1,
        "reference_text_f1": tallies["named"].f1,
        "reference_negative_f1": tallies["negative"].f1,
        "side_by_side_f1": tallies["beside"].f1,
        "own_exemplar_f1": tallies["own"].f1,
    }


def segment_side_by_side(engine: Engine, pair: Pair) -> Sequence[Instance]:
    """Looks for an example in one picture made of its own and the target.

    They meet at the side that makes the picture squarer, the reference scaled to the length of
    that side.

    Args:
        engine: The engine.
        pair: The two pictures.

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
    x1, y1, x2, y2 = (value * scale for value in box_of(pair.example))
    found = []
    for instance in engine.segment(
        picture, ConceptPrompt(exemplars_xyxy=((x1, y1, x2, y2),))
    ).instances:
        mask = Mask.from_full(instance.mask.full()[top:, left:])
        if 2 * mask.area > instance.mask.area:
            found.append(Instance(0, instance.score, instance.box_xyxy, mask))
    return found


MEASURES: tuple[Measure, ...] = (references,)
