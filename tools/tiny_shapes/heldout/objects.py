"""Measures object prompts on held-out scenes: clicks, boxes, background clicks, refinement."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ....engine import Engine, ObjectPrompt, PromptedObject
from ....engine.results import Instance
from ..scenes import Scene, Shape
from .matching import Measure, PointXy, compute_ious, draw_held_out_scenes, get_box, get_true_mask

BoolImage = npt.NDArray[np.bool_]


def measure_clicks_and_boxes(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures the mean IoU of one click anywhere inside a shape, and of a shape's box."""
    click_ious: list[float] = []
    box_ious: list[float] = []
    for rng, scene in draw_held_out_scenes(seed, scenes):
        clicks = [PromptedObject(points_xy=(draw_point_inside(s, rng),)) for s in scene.shapes]
        boxes = [PromptedObject(box_xyxy=get_box(s)) for s in scene.shapes]
        click_ious += compute_object_ious(engine, scene, clicks)
        box_ious += compute_object_ious(engine, scene, boxes)
    return {
        "click_mean_iou": float(np.mean(click_ious)),
        "box_mean_iou": float(np.mean(box_ious)),
    }


def measure_background_clicks(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures how often a background click on a second shape leaves 95 % of it out."""
    obeyed: list[bool] = []
    for rng, scene in draw_held_out_scenes(seed, scenes):
        if len(scene.shapes) < 2:
            continue
        first, second = (scene.shapes[int(i)] for i in rng.permutation(len(scene.shapes))[:2])
        points = (draw_point_inside(first, rng), draw_point_inside(second, rng))
        prompted = PromptedObject(points_xy=points, point_labels=(1, 0))
        (instance,) = engine.segment(scene.image, ObjectPrompt((prompted,))).instances
        covered = np.count_nonzero(instance.mask.full() & second.mask)
        obeyed.append(bool(covered <= 0.05 * np.count_nonzero(second.mask)))
    return {"background_obeyed": float(np.mean(obeyed))}


def compute_object_ious(engine: Engine, scene: Scene, objects: list[PromptedObject]) -> list[float]:
    """Computes the IoU of each object's mask with the shape of the same index."""
    found = [i.mask for i in engine.segment(scene.image, ObjectPrompt(tuple(objects))).instances]
    truth = [get_true_mask(shape) for shape in scene.shapes]
    return [float(v) for v in np.diag(compute_ious(found, truth))]


def draw_point_inside(shape: Shape, rng: np.random.Generator) -> PointXy:
    """Draws a random visible pixel of a shape."""
    y, x = divmod(int(rng.choice(np.flatnonzero(shape.mask))), shape.mask.shape[1])
    return float(x), float(y)


def measure_refinement(engine: Engine, seed: int, scenes: int) -> dict[str, float]:
    """Measures the mean IoU after three clicks, with and without the last mask as input.

    As in the package's tutorial the first click has three candidates, of which the best
    rated goes on. Each further click is where the last mask is most wrong.
    """
    refined, plain = [], []
    for rng, scene in draw_held_out_scenes(seed, scenes):
        shape = scene.shapes[int(rng.integers(len(scene.shapes)))]
        refined.append(click_three_times(engine, scene.image, shape.mask, refine=True))
        plain.append(click_three_times(engine, scene.image, shape.mask, refine=False))
    return {
        "three_clicks_refined_iou": float(np.mean(refined)),
        "three_clicks_plain_iou": float(np.mean(plain)),
    }


def click_three_times(
    engine: Engine, image: npt.NDArray[np.uint8], wanted: BoolImage, refine: bool
) -> float:
    """Clicks three times on a shape; returns the IoU of the last mask.

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
        point, label = find_correcting_click(missing, extra)
        points, labels = (*points, point), (*labels, label)
        prompted = PromptedObject(
            points, labels, mask_input=last.low_res_logits if refine and last else None
        )
        prompt = ObjectPrompt((prompted,), multimask=last is None, return_logits=True)
        last = engine.segment(image, prompt).instances[0]
        found = last.mask.full()
        missing, extra = wanted & ~found, found & ~wanted
    return float(np.count_nonzero(wanted & found) / np.count_nonzero(wanted | found))


def find_correcting_click(missing: BoolImage, extra: BoolImage) -> tuple[tuple[float, float], int]:
    """Finds the middle of the larger error, and its label.

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
    measure_clicks_and_boxes,
    measure_background_clicks,
    measure_refinement,
)
