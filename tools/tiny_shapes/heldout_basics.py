"""Held-out scores of text, click and box prompts.

Each function takes an engine, the seed of the scenes and how many of them, and gives
names and scores; :mod:`evaluate` calls them all.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...engine import ConceptPrompt, Engine, ObjectPrompt, PromptedObject
from .heldout import Measure, PointXy, box_of, held_out_scenes, ious_between, truth_of
from .scenes import Scene, Shape, phrases


def concepts(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Text prompts: what is on a scene in each form of phrase, and something absent.

    F1 at IoU 0.5, mean IoU of what is matched at that, and the share of absent phrases that
    give an instance.
    """
    matched: list[float] = []
    found = wanted = absent_found = 0
    for rng, scene in held_out_scenes(seed, scenes):
        model = scene.shapes[int(rng.integers(len(scene.shapes)))]
        pairs = {f"{s.colour} {s.kind}" for s in scene.shapes}
        present = [*sorted(pairs), model.kind, f"{model.colour} shape"]
        absent = str(rng.choice([p for p in phrases() if not scene.matching(p)]))
        result = engine.segment(scene.image, ConceptPrompt(texts=(*present, absent)))
        for index, phrase in enumerate(present):
            masks = [i.mask for i in result.instances if i.class_index == index]
            truth = [truth_of(shape) for shape in scene.matching(phrase)]
            found += len(masks)
            wanted += len(truth)
            ious = ious_between(masks, truth)
            best = ious[linear_sum_assignment(-ious)]
            matched += best[best >= 0.5].tolist()
        absent_found += any(i.class_index == len(present) for i in result.instances)
    return {
        "concept_f1": 2 * len(matched) / max(1, found + wanted),
        "concept_precision": len(matched) / max(1, found),
        "concept_recall": len(matched) / max(1, wanted),
        "concept_mean_iou": float(np.mean(matched)) if matched else 0.0,
        "absent_found": absent_found / scenes,
    }


def clicks_and_boxes(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Mean IoU of one click anywhere inside a shape, and of a shape's box."""
    click_ious: list[float] = []
    box_ious: list[float] = []
    for rng, scene in held_out_scenes(seed, scenes):
        clicks = [PromptedObject(points_xy=(point_inside(s, rng),)) for s in scene.shapes]
        boxes = [PromptedObject(box_xyxy=box_of(s)) for s in scene.shapes]
        click_ious += object_ious(engine, scene, clicks)
        box_ious += object_ious(engine, scene, boxes)
    return {
        "click_mean_iou": float(np.mean(click_ious)),
        "box_mean_iou": float(np.mean(box_ious)),
    }


def background_clicks(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Share of scenes where a click on a second shape, labelled 0, leaves 95 % of it out."""
    obeyed: list[bool] = []
    for rng, scene in held_out_scenes(seed, scenes):
        if len(scene.shapes) < 2:
            continue
        first, second = (scene.shapes[int(i)] for i in rng.permutation(len(scene.shapes))[:2])
        points = (point_inside(first, rng), point_inside(second, rng))
        prompted = PromptedObject(points_xy=points, point_labels=(1, 0))
        (instance,) = engine.segment(scene.image, ObjectPrompt((prompted,))).instances
        covered = np.count_nonzero(instance.mask.full() & second.mask)
        obeyed.append(bool(covered <= 0.05 * np.count_nonzero(second.mask)))
    return {"background_obeyed": float(np.mean(obeyed))}


def object_ious(engine: Engine, scene: Scene, objects: list[PromptedObject]) -> list[float]:
    """IoU of each object's mask with the scene's shape of the same index."""
    found = [i.mask for i in engine.segment(scene.image, ObjectPrompt(tuple(objects))).instances]
    truth = [truth_of(shape) for shape in scene.shapes]
    return [float(v) for v in np.diag(ious_between(found, truth))]


def point_inside(shape: Shape, rng: np.random.Generator) -> PointXy:
    """A random visible pixel of a shape."""
    y, x = divmod(int(rng.choice(np.flatnonzero(shape.mask))), shape.mask.shape[1])
    return float(x), float(y)


MEASURES: tuple[Measure, ...] = (concepts, clicks_and_boxes, background_clicks)
