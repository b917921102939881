"""How far bfloat16 answers are from float32 ones, on the bundled model's held-out scenes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..tools.tiny_shapes.heldout.matching import HELD_OUT_SEED, held_out_scenes, ious_between
from ..tools.tiny_shapes.scenes import Scene

THRESHOLD = 0.5
FLOOR = 0.1
"""Instances above it are looked at, so that one that falls below 0.5 is found again."""


@dataclasses.dataclass
class Agreement:
    """What was compared.

    Attributes:
        ious: Of each pair of masks above the threshold.
        score_differences: Absolute, of the same pairs.
        crossed: Instances above the threshold in one precision only.
    """

    ious: list[float] = dataclasses.field(default_factory=list)
    score_differences: list[float] = dataclasses.field(default_factory=list)
    crossed: int = 0

    @property
    def mean_iou(self) -> float:
        """Over the pairs."""
        return float(np.mean(self.ious))

    @property
    def score_difference_p99(self) -> float:
        """The 99th percentile."""
        return float(np.percentile(self.score_differences, 99))

    @property
    def crossed_share(self) -> float:
        """Of all instances that are above the threshold in either precision."""
        return self.crossed / max(1, len(self.ious))


def agreement(exact: Any, rounded: Any, scenes: int, seed: int = HELD_OUT_SEED) -> Agreement:
    """Asks both engines for concepts, clicks and boxes, and compares.

    Args:
        exact: An engine with the bundled model, in float32.
        rounded: Another one, in bfloat16.
        scenes: Number of held-out scenes.
        seed: Of the scenes.

    Returns:
        The comparison.
    """
    found = Agreement()
    for _, scene in held_out_scenes(seed, scenes):
        for prompt in _prompts(scene):
            one, other = (e.segment(scene.image, prompt).instances for e in (exact, rounded))
            _compare(found, one, other)
    return found


def _prompts(scene: Scene) -> list[Any]:
    from ..engine import ConceptPrompt, ObjectPrompt, PromptedObject

    texts = sorted({f"{s.colour} {s.kind}" for s in scene.shapes} | {s.kind for s in scene.shapes})
    boxes = [tuple(float(v) for v in s.xyxy) for s in scene.shapes]
    centres = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
    return [
        *(ConceptPrompt((text,), confidence_threshold=FLOOR) for text in texts),
        ObjectPrompt(tuple(PromptedObject(box_xyxy=box) for box in boxes)),  # type: ignore[arg-type]
        ObjectPrompt(tuple(PromptedObject(points_xy=(xy,)) for xy in centres)),
    ]


def _compare(found: Agreement, one: Any, other: Any) -> None:
    """Pairs instances by their masks; of objects each is with its own already."""
    table = ious_between([a.mask for a in one], [b.mask for b in other])
    rows, columns = linear_sum_assignment(-table)
    paired = {(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if table[i, j] >= 0.5}
    for i, j in paired:
        a, b = one[i].score > THRESHOLD, other[j].score > THRESHOLD
        if a or b:
            found.ious.append(float(table[i, j]))
            found.score_differences.append(abs(one[i].score - other[j].score))
            found.crossed += a != b
    alone = [x for i, x in enumerate(one) if i not in {p[0] for p in paired}]
    alone += [x for j, x in enumerate(other) if j not in {p[1] for p in paired}]
    for instance in alone:
        if instance.score > THRESHOLD:
            found.ious.append(0.0)
            found.crossed += 1
