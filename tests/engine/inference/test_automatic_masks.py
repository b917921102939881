"""Everything there is, from a grid of clicks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import ConceptPrompt, Engine, EverythingPrompt, Mask
from infer_segment_anything_3.engine.inference.automatic_masks import (
    compute_border_share,
    is_stable,
    make_point_grid,
)
from infer_segment_anything_3.engine.postprocess.nms import compute_mask_ious
from infer_segment_anything_3.tools.tiny_shapes.heldout.crowded_images import measure_everything
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


@pytest.mark.parametrize(
    ("side", "image_hw", "points"),
    [
        (1, (100, 60), [(30, 50)]),
        (2, (100, 60), [(15, 25), (45, 25), (15, 75), (45, 75)]),
    ],
)
def test_points_are_the_centers_of_equal_cells(
    side: int, image_hw: tuple[int, int], points: list[tuple[int, int]]
) -> None:
    assert make_point_grid(side, image_hw).tolist() == [list(p) for p in points]


@pytest.mark.parametrize(
    ("side", "inside", "rim", "outside", "stable"),
    [
        (256, 10.0, -10.0, -10.0, True),
        (256, 10.0, 0.5, -10.0, False),
        (256, 0.9, -10.0, -10.0, False),
        (256, -9.0, -9.0, -9.0, False),
        (256, 10.0, 10.0, 10.0, True),
        # On a coarse grid a rim of one cell is a larger share of the same mask.
        (64, 10.0, 0.5, -10.0, True),
        (64, 0.9, -10.0, -10.0, False),
    ],
)
def test_a_mask_is_stable_if_the_threshold_hardly_matters(
    side: int, inside: float, rim: float, outside: float, stable: bool
) -> None:
    logits = torch.full((1, side, side), outside)
    logits[:, 9:51, 9:51] = rim
    logits[:, 10:50, 10:50] = inside
    assert is_stable(logits, 0.0).tolist() == [stable]


def test_what_is_found_is_sorted_and_comes_once(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(4).image
    steps: list[str] = []
    prompt = EverythingPrompt(points_per_side=12)
    result = tiny_engine.segment(image, prompt, on_step=steps.append)
    assert result.class_names == ("object",)
    assert steps == [
        "encode",
        *(f"everything: {n} of 144 points" for n in (64, 128, 144)),
    ]
    scores = [i.score for i in result.instances]
    assert scores and scores == sorted(scores, reverse=True)
    for instance in result.instances:
        assert instance.mask.area
        assert instance.box_xyxy == instance.mask.xyxy
    ious = compute_mask_ious([i.mask for i in result.instances])
    assert (ious - np.eye(len(ious))).max() <= 0.5
    largest = max(i.mask.area for i in result.instances)
    only = tiny_engine.segment(image, EverythingPrompt(12, min_area_px=largest))
    assert [i.mask.area for i in only.instances] == [largest]


def test_it_can_be_stopped_after_any_batch(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(4).image
    calls = tiny_engine.decoder_calls

    def stop(step: str) -> None:
        if step.startswith("everything"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_engine.segment(image, EverythingPrompt(), on_step=stop)
    assert tiny_engine.decoder_calls == calls + 1
    assert tiny_engine.segment(image, ConceptPrompt(("star",))).image_was_cached


def test_filling_holes_late_changes_nothing(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    from infer_segment_anything_3.engine import ObjectPrompt, PromptedObject

    image = scene(4).image
    click = PromptedObject(points_xy=((30.0, 40.0),))
    before = tiny_engine.segment(image, ObjectPrompt((click,), multimask=True))
    tiny_engine.segment(image, EverythingPrompt(points_per_side=2))
    after = tiny_engine.segment(image, ObjectPrompt((click,), multimask=True))
    for one, other in zip(before.instances, after.instances, strict=True):
        assert np.array_equal(one.mask.crop, other.mask.crop) and one.score == other.score


def test_shapes_are_found_and_little_else(tiny_engine: Engine) -> None:
    scores = measure_everything(tiny_engine, seed=515, scenes=12)
    assert scores["everything_recall"] >= 0.9
    assert scores["everything_no_shape"] <= 0.1


@pytest.mark.parametrize(
    ("rows", "columns", "share"),
    [
        (slice(0, 10), slice(0, 20), 1.0),
        (slice(1, 9), slice(1, 19), 0.0),
        (slice(0, 10), slice(0, 10), 0.5),
    ],
)
def test_the_share_of_the_border_tells_the_background(rows, columns, share) -> None:
    full = np.zeros((10, 20), bool)
    full[rows, columns] = True
    assert compute_border_share(Mask.from_full(full)) == pytest.approx(share)


def test_the_background_is_no_instance(tiny_engine: Engine, scene: Callable[..., Scene]) -> None:
    for seed in (1, 4):
        found = tiny_engine.segment(scene(seed).image, EverythingPrompt(points_per_side=8))
        assert found.instances
        assert all(compute_border_share(i.mask) < 0.8 for i in found.instances)
