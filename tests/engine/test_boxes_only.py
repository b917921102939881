"""Boxes of concepts without masks: the mask head is not run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from infer_segment_anything_3.engine import ConceptPrompt, Engine, EverythingPrompt, ObjectPrompt
from infer_segment_anything_3.engine.prompts import PromptedObject
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene

PROMPT = ConceptPrompt(texts=("circle", "square", "triangle", "star"))
CLICK = ObjectPrompt((PromptedObject(points_xy=((5.0, 5.0),)),))


@pytest.fixture
def mask_head_runs(tiny_engine: Engine) -> list[int]:
    runs: list[int] = []
    hook = tiny_engine.model.segmentation_head.register_forward_hook(lambda *_: runs.append(1))
    yield runs
    hook.remove()


def test_boxes_are_those_of_a_run_with_masks(
    tiny_engine: Engine, scene: Callable[..., Scene], mask_head_runs: list[int]
) -> None:
    image = scene(5).image
    boxes = tiny_engine.segment(image, PROMPT, masks=False)
    assert not mask_head_runs
    full = tiny_engine.segment(image, PROMPT)
    assert mask_head_runs
    assert len(boxes.instances) > 0
    assert all(not i.mask.area and i.mask.image_hw == image.shape[:2] for i in boxes.instances)
    plain = [(i.class_index, i.score, i.box_xyxy) for i in boxes.instances]
    assert plain == [(i.class_index, i.score, i.box_xyxy) for i in full.instances]


def test_best_compares_boxes(tiny_engine: Engine, scene: Callable[..., Scene]) -> None:
    shown = scene(6, count_range=(1, 1))
    kind = shown.shapes[0].kind
    twice = ConceptPrompt(texts=(kind, f"{shown.shapes[0].color} {kind}"), masks=False)
    assert len(tiny_engine.segment(shown.image, twice).instances) == 2
    best = dataclasses.replace(twice, overlap="best")
    (left,) = tiny_engine.segment(shown.image, best).instances
    both = tiny_engine.segment(shown.image, twice).instances
    assert left.score == max(i.score for i in both)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_area_px": 5}, "min_area_px: needs masks, which are switched off, got 5"),
        ({"tiles": 2}, "tiles: needs masks, which are switched off, got 2"),
        ({"tiles": "auto"}, "tiles: needs masks, which are switched off, got auto"),
    ],
)
def test_what_needs_masks_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PROMPT, masks=False, **change)


@pytest.mark.parametrize("prompt", [CLICK, EverythingPrompt()])
def test_other_prompts_have_masks_only(
    tiny_engine: Engine, scene: Callable[..., Scene], prompt: ObjectPrompt | EverythingPrompt
) -> None:
    with pytest.raises(ValueError, match="masks: expected True"):
        tiny_engine.segment(scene(5).image, prompt, masks=False)
