"""The engine gives what the package's own calls give, for the same weights and image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    Instance,
    ObjectPrompt,
    PromptedObject,
)
from infer_segment_anything_3.engine.runtime.memory import BatchLimits
from infer_segment_anything_3.tests.helpers import compute_iou
from infer_segment_anything_3.tools.sam3_package import Sam3Package
from infer_segment_anything_3.tools.tiny_shapes.scenes import draw_scene

SCENE = draw_scene(np.random.default_rng(11), (300, 420), count_range=(5, 6))
MODEL_SHAPE, OTHER_SHAPE = SCENE.shapes[:2]
TEXT = f"{MODEL_SHAPE.color} {MODEL_SHAPE.kind}"
Box = tuple[float, float, float, float]


def get_box(index: int) -> Box:
    left, top, right, bottom = (float(v) for v in SCENE.shapes[index].xyxy)
    return left, top, right, bottom


def center_of(index: int) -> tuple[float, float]:
    ys, xs = np.nonzero(SCENE.shapes[index].mask)
    return float(xs[len(xs) // 2]), float(ys[len(ys) // 2])


def between(scores: torch.Tensor) -> float:
    """A threshold that about half of the scores pass, as far from any as can be."""
    ordered = scores.sort().values
    third = len(ordered) // 3
    below = third + int(ordered.diff()[third : 2 * third].argmax())
    return float(ordered[below : below + 2].mean())


@pytest.fixture(scope="module")
def package(float32_engine: Engine) -> Sam3Package:
    return Sam3Package(float32_engine)


@pytest.fixture(scope="module")
def state(package: Sam3Package) -> dict[str, Any]:
    return package.encode(SCENE.image)


@pytest.mark.parametrize(
    ("text", "exemplars", "labels"),
    [
        pytest.param(TEXT, (), (), id="text"),
        pytest.param(None, (0,), (1,), id="one exemplar"),
        pytest.param(None, (0, 1), (1, 0), id="positive and negative exemplar"),
        pytest.param(TEXT, (0,), (1,), id="text and exemplar"),
        pytest.param(MODEL_SHAPE.kind, (1,), (0,), id="text and negative exemplar"),
    ],
)
def test_concepts(
    float32_engine: Engine,
    package: Sam3Package,
    state: dict[str, Any],
    text: str | None,
    exemplars: tuple[int, ...],
    labels: tuple[int, ...],
) -> None:
    boxes = tuple(get_box(i) for i in exemplars)
    every_score = package.segment_concept(state, text, 0.0, boxes, labels)["scores"].clone()
    threshold = between(every_score)
    theirs = package.segment_concept(state, text, threshold, boxes, labels)
    prompt = ConceptPrompt(
        texts=() if text is None else (text,),
        exemplars_xyxy=boxes,
        exemplar_labels=labels,
        confidence_threshold=threshold,
    )
    ours = float32_engine.segment(SCENE.image, prompt)
    order = theirs["scores"].argsort(descending=True, stable=True)
    assert len(ours.instances) == len(order) > 0
    for instance, index in zip(ours.instances, order.tolist(), strict=True):
        assert np.array_equal(instance.mask.full(), theirs["masks"][index, 0].numpy())
        assert instance.score == pytest.approx(float(theirs["scores"][index]), abs=1e-5)
        assert instance.box_xyxy == pytest.approx(theirs["boxes"][index].tolist(), abs=1e-2)


OBJECT_PROMPTS = [
    pytest.param((PromptedObject(points_xy=(center_of(0),)),), id="one point"),
    pytest.param(
        (PromptedObject(points_xy=(center_of(0), center_of(1)), point_labels=(1, 0)),),
        id="foreground and background",
    ),
    pytest.param((PromptedObject(box_xyxy=get_box(0)),), id="one box"),
    pytest.param(tuple(PromptedObject(box_xyxy=get_box(i)) for i in range(3)), id="three boxes"),
    pytest.param(
        tuple(PromptedObject(points_xy=(center_of(i),)) for i in range(3)), id="three clicks"
    ),
    pytest.param(
        (PromptedObject(box_xyxy=get_box(0), points_xy=(center_of(0),), point_labels=(0,)),),
        id="box and background",
    ),
]


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("objects", OBJECT_PROMPTS)
def test_objects(
    float32_engine: Engine,
    package: Sam3Package,
    state: dict[str, Any],
    objects: tuple[PromptedObject, ...],
    multimask: bool,
) -> None:
    prompts: dict[str, Any] = {}
    if objects[0].box_xyxy:
        prompts["box"] = np.array([o.box_xyxy for o in objects])
    if objects[0].points_xy:
        prompts["point_coords"] = np.array([o.points_xy for o in objects])
        prompts["point_labels"] = np.array([o.point_labels or (1,) for o in objects])
    masks, scores, _ = package.segment_objects(state, multimask_output=multimask, **prompts)
    masks = masks.reshape(len(objects), -1, *masks.shape[-2:])
    scores = scores.reshape(len(objects), -1)
    ours = float32_engine.segment(SCENE.image, ObjectPrompt(objects, multimask))
    assert len(ours.instances) == len(objects)
    for row, instance in enumerate(ours.instances):
        candidates: tuple[Instance, ...] = (instance, *instance.alternatives)
        order = np.argsort(-scores[row], kind="stable")
        assert len(candidates) == (3 if multimask else 1)
        for candidate, index in zip(candidates, order, strict=True):
            assert np.array_equal(candidate.mask.full(), masks[row, index] > 0)
            assert candidate.score == pytest.approx(float(scores[row, index]), abs=1e-5)


def test_refining_with_the_last_mask(
    float32_engine: Engine, package: Sam3Package, state: dict[str, Any]
) -> None:
    first = float32_engine.segment(
        SCENE.image,
        ObjectPrompt((PromptedObject(points_xy=(center_of(0),)),), return_logits=True),
    )
    points = (center_of(0), center_of(1))
    _, _, low_res = package.segment_objects(
        state,
        point_coords=np.array([points[0]]),
        point_labels=np.array([1]),
        multimask_output=False,
    )
    masks, scores, _ = package.segment_objects(
        state,
        point_coords=np.array(points),
        point_labels=np.array([1, 0]),
        mask_input=low_res,
        multimask_output=False,
    )
    refined = float32_engine.segment(
        SCENE.image,
        ObjectPrompt(
            (
                PromptedObject(
                    points_xy=points,
                    point_labels=(1, 0),
                    mask_input=first.instances[0].low_res_logits,
                ),
            )
        ),
    )
    assert np.array_equal(refined.instances[0].mask.full(), masks[0] > 0)
    assert refined.instances[0].score == pytest.approx(float(scores[0]), abs=1e-5)


def test_objects_of_one_run_are_those_of_single_runs(float32_engine: Engine) -> None:
    objects = [PromptedObject(box_xyxy=get_box(i)) for i in range(len(SCENE.shapes))]
    together = float32_engine.segment(SCENE.image, ObjectPrompt(tuple(objects))).instances
    for prompted, instance in zip(objects, together, strict=True):
        (alone,) = float32_engine.segment(SCENE.image, ObjectPrompt((prompted,))).instances
        assert compute_iou(instance.mask.full(), alone.mask.full()) >= 0.9999


def test_concepts_of_one_forward_are_those_of_single_forwards(
    float32_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = (TEXT, MODEL_SHAPE.kind, f"{OTHER_SHAPE.color} shape")
    image = SCENE.image[:, ::-1].copy()
    one_by_one = float32_engine.segment(image, ConceptPrompt(texts, confidence_threshold=0.2))
    float32_engine.image_cache.clear()
    monkeypatch.setattr(float32_engine, "limits", BatchLimits(concepts=len(texts)))
    together = float32_engine.segment(image, ConceptPrompt(texts, confidence_threshold=0.2))
    assert len(together.instances) == len(one_by_one.instances)
    for batched, single in zip(together.instances, one_by_one.instances, strict=True):
        assert batched.class_index == single.class_index
        assert batched.score == pytest.approx(single.score, abs=1e-4)
        assert compute_iou(batched.mask.full(), single.mask.full()) >= 0.9999
