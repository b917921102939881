"""Measures bfloat16 against float32: time of an encoding, difference of the instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..engine import ConceptPrompt, Engine, Instance, ObjectPrompt, Prompt, PromptedObject
from ..tools.tiny_shapes.heldout.matching import (
    HELD_OUT_SEED,
    compute_ious,
    draw_held_out_scenes,
    get_box,
)
from ..tools.tiny_shapes.scenes import Scene
from .context import BenchmarkContext, compare, make_click
from .table import Row

SCENES = 60
THRESHOLD = 0.5
SEARCH_THRESHOLD = 0.1
"""Lower, to find the counterpart of an instance that falls below :data:`THRESHOLD`."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    rounded, exact = (context.load_engine(precision) for precision in ("bfloat16", "float32"))
    auto = context.load_engine("auto").precision
    yield compare(
        "new image, click, bfloat16", context.draw_new_images(),
        lambda image: rounded.segment(image, make_click(image)),
        lambda image: exact.segment(image, make_click(image)),
        reference_name="float32", note=f"auto is {auto}",
        ratio_at_most=0.65 if context.is_full_size and auto == "bfloat16" else None,
    )  # fmt: skip
    found = compare_engines(
        Engine.load("tiny_shapes", device=context.device, precision="float32"),
        Engine.load("tiny_shapes", device=context.device, precision="bfloat16"),
        SCENES,
    )
    note = f"{len(found.ious)} instances of {SCENES} held-out scenes, tiny_shapes"
    yield Row("bfloat16 to float32: mean IoU", found.mean_iou, "", at_least=0.97, note=note)
    yield Row("bfloat16 to float32: 99th percentile of score differences",
              found.score_difference_p99, "", at_most=0.05)  # fmt: skip
    yield Row(f"bfloat16 to float32: share of instances that cross {THRESHOLD}",
              found.crossed / max(1, len(found.ious)), "", at_most=0.01)  # fmt: skip


@dataclasses.dataclass
class Agreement:
    """Counts how far the instances of two engines agree.

    Attributes:
        ious: IoU of each pair of masks, of which at least one passes the threshold; 0 where
            an instance has no counterpart.
        score_differences: Absolute differences of the same pairs.
        crossed: Instances that pass the threshold in one engine only.
    """

    ious: list[float] = dataclasses.field(default_factory=list)
    score_differences: list[float] = dataclasses.field(default_factory=list)
    crossed: int = 0

    @property
    def mean_iou(self) -> float:
        """Mean over the pairs."""
        return float(np.mean(self.ious))

    @property
    def score_difference_p99(self) -> float:
        """99th percentile of the score differences."""
        return float(np.percentile(self.score_differences, 99))


def compare_engines(
    exact: Engine, rounded: Engine, scenes: int, seed: int = HELD_OUT_SEED
) -> Agreement:
    """Compares two engines on concepts, clicks and boxes of held-out scenes."""
    found = Agreement()
    for _, scene in draw_held_out_scenes(seed, scenes):
        for prompt in _make_prompts(scene):
            one, other = (e.segment(scene.image, prompt).instances for e in (exact, rounded))
            _add_pairs(found, one, other)
    return found


def _make_prompts(scene: Scene) -> list[Prompt]:
    texts = sorted({f"{s.color} {s.kind}" for s in scene.shapes} | {s.kind for s in scene.shapes})
    boxes = [get_box(shape) for shape in scene.shapes]
    centers = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
    return [
        *(ConceptPrompt((text,), confidence_threshold=SEARCH_THRESHOLD) for text in texts),
        ObjectPrompt(tuple(PromptedObject(box_xyxy=box) for box in boxes)),
        ObjectPrompt(tuple(PromptedObject(points_xy=(xy,)) for xy in centers)),
    ]


def _add_pairs(found: Agreement, one: Sequence[Instance], other: Sequence[Instance]) -> None:
    ious = compute_ious([a.mask for a in one], [b.mask for b in other])
    pairs = [
        (i, j) for i, j in zip(*linear_sum_assignment(-ious), strict=True) if ious[i, j] >= 0.5
    ]
    for i, j in pairs:
        passed = one[i].score > THRESHOLD, other[j].score > THRESHOLD
        if any(passed):
            found.ious.append(float(ious[i, j]))
            found.score_differences.append(abs(one[i].score - other[j].score))
            found.crossed += passed[0] != passed[1]
    matched = {i for i, _ in pairs}, {j for _, j in pairs}
    for instances, known in zip((one, other), matched, strict=True):
        for index, instance in enumerate(instances):
            if index not in known and instance.score > THRESHOLD:
                found.ious.append(0.0)
                found.crossed += 1
