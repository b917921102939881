"""Draws held-out scenes, and matches found masks with the drawn shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from ....engine import Engine
from ....engine.postprocess.nms import compute_mask_ious
from ....engine.results import BoxXyxy, Instance, Mask
from ..scenes import Scene, Shape, draw_scene

HELD_OUT_SEED = 20_260_000
"""Training draws from small seeds and their hashes; this one is the held-out scenes' own."""

PointXy = tuple[float, float]
Measure = Callable[[Engine, int, int], dict[str, float]]
"""Takes an engine, the seed of the scenes and how many of them; gives names and scores."""


def draw_held_out_scenes(seed: int, count: int) -> Iterator[tuple[np.random.Generator, Scene]]:
    """Draws scenes of 200 to 2000 px, each with a generator for its prompts.

    Args:
        seed: Seed of all; each scene depends on it and its own index alone.
        count: How many.

    Yields:
        Generator and scene.
    """
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        yield rng, draw_scene(rng)


def get_true_mask(shape: Shape) -> Mask:
    """Returns a shape's visible pixels as one of the engine's masks."""
    left, top, _, _ = (int(v) for v in shape.xyxy)
    return Mask(shape.image_hw, (left, top), shape.crop)


def get_box(shape: Shape) -> BoxXyxy:
    """Returns a shape's box in pixels."""
    left, top, right, bottom = (float(v) for v in shape.xyxy)
    return left, top, right, bottom


def compute_ious(found: Sequence[Mask], wanted: Sequence[Mask]) -> npt.NDArray[np.float64]:
    """Computes the IoU of each found mask with each wanted one, (N, M) float64."""
    return compute_mask_ious([*found, *wanted])[: len(found), len(found) :]


def count_hits(found: Sequence[Mask], wanted: Sequence[Mask], at_iou: float) -> int:
    """Counts the pairs of the best one-to-one matching that reach an IoU."""
    table = compute_ious(found, wanted)
    rows, columns = linear_sum_assignment(-table)
    return int(np.count_nonzero(table[rows, columns] >= at_iou))


@dataclasses.dataclass
class Tally:
    """Counts found, wanted and matched shapes over scenes."""

    found: int = 0
    wanted: int = 0
    matched: int = 0

    def add(self, instances: Sequence[Instance], shapes: Sequence[Shape]) -> None:
        """Adds the instances found on a scene and the shapes that were asked for."""
        self.found += len(instances)
        self.wanted += len(shapes)
        self.matched += count_hits(
            [i.mask for i in instances], [get_true_mask(s) for s in shapes], 0.5
        )

    @property
    def f1(self) -> float:
        """F1 score at IoU 0.5."""
        return 2 * self.matched / max(1, self.found + self.wanted)
