"""Measures automatic masks, and tiles on large crowded images, on held-out scenes."""

from __future__ import annotations

import numpy as np

from ....engine import ConceptPrompt, Engine, EverythingPrompt
from ....engine.results import Mask
from ..scenes import KINDS, Scene, draw_scene
from .matching import Measure, compute_ious, count_hits, draw_held_out_scenes, get_true_mask

CROWD_RANGE_PX = (2000, 3000)
CROWD_COUNT = 500
CROWD_EXTENT_RANGE = (0.02, 0.035)
SCENES_PER_CROWD = 100
"""Ordinary scenes that take as long as one crowded scene."""


def measure_everything(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures the share of shapes found at IoU 0.7, and of masks that match no shape.

    A second mask of the same shape counts as no shape.
    """
    wanted = found = matched = background = 0
    for _, scene in draw_held_out_scenes(seed, scenes):
        masks = [i.mask for i in engine.segment(scene.image, EverythingPrompt()).instances]
        truth = [get_true_mask(shape) for shape in scene.shapes]
        nothing = Mask.from_full(~np.any([s.mask for s in scene.shapes], axis=0))
        wanted += len(truth)
        found += len(masks)
        matched += count_hits(masks, truth, 0.7)
        background += count_hits(masks, [nothing], 0.7)
    strangers = found - matched - background
    return {
        "everything_recall": matched / max(1, wanted),
        "everything_no_shape": strangers / max(1, found - background),
    }


def crowd(seed: int, index: int) -> Scene:
    """Draws a large image with 500 small shapes."""
    return draw_scene(
        np.random.default_rng((seed, index)),
        CROWD_RANGE_PX,
        (CROWD_COUNT, CROWD_COUNT),
        extent_range=CROWD_EXTENT_RANGE,
    )


def measure_tiles(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures the share of 500 shapes found at IoU 0.5 with tiles, and found twice."""
    wanted = found = matched = repeated = 0
    for index in range(max(1, scenes // SCENES_PER_CROWD)):
        scene = crowd(seed, index)
        result = engine.segment(scene.image, ConceptPrompt(texts=KINDS, tiles="auto"))
        for class_index, kind in enumerate(KINDS):
            masks = [i.mask for i in result.instances if i.class_index == class_index]
            truth = [get_true_mask(shape) for shape in scene.find_matching(kind)]
            wanted += len(truth)
            found += len(masks)
            matched += count_hits(masks, truth, 0.5)
            claims = (compute_ious(masks, truth) >= 0.5).sum(axis=0)
            repeated += int(np.maximum(claims - 1, 0).sum())
    return {
        "tiles_recall": matched / max(1, wanted),
        "tiles_precision": matched / max(1, found),
        "tiles_repeated": repeated / max(1, found),
    }


MEASURES: tuple[Measure, ...] = (
    measure_everything,
    measure_tiles,
)
