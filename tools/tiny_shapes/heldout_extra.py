"""Held-out scores of everything, tiles, refinement, exemplars and overlap.

Each function takes an engine, the seed of the scenes and how many of them, and gives
names and scores; :mod:`evaluate` calls them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from ...engine import ConceptPrompt, Engine, EverythingPrompt, ObjectPrompt, PromptedObject
from ...engine.results import Instance, Mask
from .heldout import Measure, box_of, held_out_scenes, hits, ious_between, truth_of
from .scenes import KINDS, Scene, Shape, draw_scene

CROWD_RANGE_PX = (2000, 3000)
CROWD_COUNT = 500
CROWD_EXTENT_RANGE = (0.02, 0.035)
SCENES_PER_CROWD = 100
"""A crowded scene takes as long as so many ordinary ones."""

BoolImage = npt.NDArray[np.bool_]


def everything(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Share of shapes found at IoU 0.7, and of what is found that is neither that nor background.

    A second mask of the same shape counts as no shape.
    """
    wanted = found = matched = background = 0
    for _, scene in held_out_scenes(seed, scenes):
        masks = [i.mask for i in engine.segment(scene.image, EverythingPrompt()).instances]
        truth = [truth_of(shape) for shape in scene.shapes]
        nothing = Mask.from_full(~np.any([s.mask for s in scene.shapes], axis=0))
        wanted += len(truth)
        found += len(masks)
        matched += hits(masks, truth, 0.7)
        background += hits(masks, [nothing], 0.7)
    strangers = found - matched - background
    return {
        "everything_recall": matched / max(1, wanted),
        "everything_no_shape": strangers / max(1, found - background),
    }


def crowd(seed: int, index: int) -> Scene:
    """A large image with 500 small shapes."""
    return draw_scene(
        np.random.default_rng((seed, index)),
        CROWD_RANGE_PX,
        (CROWD_COUNT, CROWD_COUNT),
        extent_range=CROWD_EXTENT_RANGE,
    )


def tiles(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Share of 500 shapes found at IoU 0.5 with tiles, and share of what is found twice."""
    wanted = found = matched = repeated = 0
    for index in range(max(1, scenes // SCENES_PER_CROWD)):
        scene = crowd(seed, index)
        result = engine.segment(scene.image, ConceptPrompt(texts=KINDS, tiles=0))
        for class_index, kind in enumerate(KINDS):
            masks = [i.mask for i in result.instances if i.class_index == class_index]
            truth = [truth_of(shape) for shape in scene.matching(kind)]
            wanted += len(truth)
            found += len(masks)
            matched += hits(masks, truth, 0.5)
            claims = (ious_between(masks, truth) >= 0.5).sum(axis=0)
            repeated += int(np.maximum(claims - 1, 0).sum())
    return {
        "tiles_recall": matched / max(1, wanted),
        "tiles_precision": matched / max(1, found),
        "tiles_repeated": repeated / max(1, found),
    }


def refinement(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Mean IoU after three clicks, with the last mask fed back and without.

    As in the package's tutorial the first click has three candidates, of which the best
    rated goes on. Each further click is where the last mask is most wrong.
    """
    refined, plain = [], []
    for rng, scene in held_out_scenes(seed, scenes):
        shape = scene.shapes[int(rng.integers(len(scene.shapes)))]
        refined.append(three_clicks(engine, scene.image, shape.mask, refine=True))
        plain.append(three_clicks(engine, scene.image, shape.mask, refine=False))
    return {
        "three_clicks_refined_iou": float(np.mean(refined)),
        "three_clicks_plain_iou": float(np.mean(plain)),
    }


def three_clicks(
    engine: Engine, image: npt.NDArray[np.uint8], wanted: BoolImage, refine: bool
) -> float:
    """IoU with a shape after three clicks.

    Args:
        engine: The model.
        image: (H, W, 3) uint8.
        wanted: (H, W) bool.
        refine: Whether each answer goes into the next question.

    Returns:
        The IoU of the last mask.
    """
    missing, extra = wanted, np.zeros_like(wanted)
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    last: Instance | None = None
    for _ in range(3):
        point, label = correcting_click(missing, extra)
        points, labels = (*points, point), (*labels, label)
        prompted = PromptedObject(
            points, labels, mask_input=last.low_res_logits if refine and last else None
        )
        prompt = ObjectPrompt((prompted,), multimask=last is None)
        last = engine.segment(image, prompt).instances[0]
        found = last.mask.full()
        missing, extra = wanted & ~found, found & ~wanted
    return float(np.count_nonzero(wanted & found) / np.count_nonzero(wanted | found))


def correcting_click(missing: BoolImage, extra: BoolImage) -> tuple[tuple[float, float], int]:
    """The middle of the larger error.

    Args:
        missing: Pixels that should be in the mask, (H, W) bool.
        extra: Pixels that should not.

    Returns:
        xy in pixels, and 1 for a missing or 0 for an extra region.
    """
    depths = [
        cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        for error in (extra, missing)
    ]
    label = int(depths[1].max() >= depths[0].max())
    y, x = np.unravel_index(int(depths[label].argmax()), missing.shape)
    return (float(x), float(y)), label


def exemplars(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """F1 at IoU 0.5 of a box alone, and of a text with a box of what is not meant.

    The second is asked where something else remains that the text means.
    """
    alone, without = _Tally(), _Tally()
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        like = scene.matching(f"{model.colour} {model.kind}")
        result = engine.segment(scene.image, ConceptPrompt(exemplars_xyxy=(box_of(model),)))
        alone.add(result.instances, like)
        rest = [s for s in scene.matching(model.kind) if s.colour != model.colour]
        if rest:
            prompt = ConceptPrompt((model.kind,), (), (box_of(model),), (0,))
            without.add(engine.segment(scene.image, prompt).instances, rest)
    return {"exemplar_f1": alone.f1, "negative_exemplar_f1": without.f1}


def overlap(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Share of the shapes found that only one instance claims, of three concepts that fit it."""
    once = claimed = 0
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        texts = (model.kind, f"{model.colour} {model.kind}", f"{model.colour} shape")
        result = engine.segment(scene.image, ConceptPrompt(texts, overlap="best"))
        truth = [truth_of(shape) for shape in scene.shapes]
        claims = (ious_between([i.mask for i in result.instances], truth) >= 0.7).sum(axis=0)
        once += int(np.count_nonzero(claims == 1))
        claimed += int(np.count_nonzero(claims))
    return {"overlap_best_claimed_once": once / max(1, claimed)}


MEASURES: tuple[Measure, ...] = (everything, tiles, refinement, exemplars, overlap)


@dataclasses.dataclass
class _Tally:
    found: int = 0
    wanted: int = 0
    matched: int = 0

    def add(self, instances: Sequence[Instance], shapes: Sequence[Shape]) -> None:
        self.found += len(instances)
        self.wanted += len(shapes)
        self.matched += hits([i.mask for i in instances], [truth_of(s) for s in shapes], 0.5)

    @property
    def f1(self) -> float:
        return 2 * self.matched / max(1, self.found + self.wanted)
