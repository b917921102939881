"""Held-out scores of object prompts: clicks, boxes, background clicks, refinement."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ....engine import Engine, ObjectPrompt, PromptedObject
from ....engine.results import Instance
from ..scenes import Scene, Shape
from .matching import Measure, PointXy, box_of, held_out_scenes, ious_between, truth_of

BoolImage = npt.NDArray[np.bool_]


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
    """Share of scenes where a click on a second shape, labeled 0, leaves 95 % of it out."""
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
        prompt = ObjectPrompt((prompted,), multimask=last is None, return_logits=True)
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


MEASURES: tuple[Measure, ...] = (
    clicks_and_boxes,
    background_clicks,
    refinement,
)
