"""Compares the instances that two engines find on held-out scenes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from ....engine import ConceptPrompt, Engine, ObjectPrompt, Prompt, PromptedObject
from ..scenes import Scene
from .matching import HELD_OUT_SEED, compute_ious, draw_held_out_scenes, get_box

THRESHOLD = 0.5
SEARCH_THRESHOLD = 0.1
"""Lower, to find the counterpart of an instance that falls below :data:`THRESHOLD`."""


class Agreement(NamedTuple):
    """Holds measures of the agreement of two engines' instances.

    Attributes:
        instances: Instances that pass the threshold in at least one engine.
        mean_iou: Their mean IoU with their counterparts; 0 where there is none.
        score_difference_p99: 99th percentile of the differences to the counterparts' scores.
        crossed: Instances that pass the threshold in one engine only.
    """

    instances: int
    mean_iou: float
    score_difference_p99: float
    crossed: int


def compare_engines(
    exact: Engine, rounded: Engine, scenes: int, seed: int = HELD_OUT_SEED
) -> Agreement:
    """Compares two engines on concepts, clicks and boxes of held-out scenes."""
    pairs = [
        pair
        for _, scene in draw_held_out_scenes(seed, scenes)
        for prompt in _make_prompts(scene)
        for pair in _pair_instances(exact, rounded, scene, prompt)
        if max(pair[1:]) > THRESHOLD
    ]
    ious, one, other = np.array(pairs).T
    differences = np.abs(one - other)[ious > 0]
    crossed = np.count_nonzero((one > THRESHOLD) != (other > THRESHOLD))
    p99 = float(np.percentile(differences, 99))
    return Agreement(len(pairs), float(ious.mean()), p99, int(crossed))


def _make_prompts(scene: Scene) -> list[Prompt]:
    texts = sorted({f"{s.color} {s.kind}" for s in scene.shapes} | {s.kind for s in scene.shapes})
    boxes = [get_box(shape) for shape in scene.shapes]
    centers = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
    return [
        *(ConceptPrompt((text,), confidence_threshold=SEARCH_THRESHOLD) for text in texts),
        ObjectPrompt(tuple(PromptedObject(box_xyxy=box) for box in boxes)),
        ObjectPrompt(tuple(PromptedObject(points_xy=(xy,)) for xy in centers)),
    ]


def _pair_instances(
    exact: Engine, rounded: Engine, scene: Scene, prompt: Prompt
) -> Iterator[tuple[float, float, float]]:
    """Yields IoU and both scores of each pair; 0 in place of a missing counterpart."""
    one, other = (engine.segment(scene.image, prompt).instances for engine in (exact, rounded))
    ious = compute_ious([a.mask for a in one], [b.mask for b in other])
    pairs = [
        (i, j) for i, j in zip(*linear_sum_assignment(-ious), strict=True) if ious[i, j] >= 0.5
    ]
    yield from ((ious[i, j], one[i].score, other[j].score) for i, j in pairs)
    yield from ((0, one[i].score, 0) for i in {*range(len(one))} - {i for i, _ in pairs})
    yield from ((0, 0, other[j].score) for j in {*range(len(other))} - {j for _, j in pairs})
