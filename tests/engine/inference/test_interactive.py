"""Clicking on: the last mask goes into the next question."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from infer_segment_anything_3.engine import Engine, ObjectPrompt, PromptedObject
from infer_segment_anything_3.tools.tiny_shapes.heldout import objects as heldout_objects
from infer_segment_anything_3.tools.tiny_shapes.heldout.matching import HELD_OUT_SEED
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


def side(engine: Engine) -> int:
    """Side of the engine's low-resolution mask grid, in cells."""
    return 4 * engine.image_size // 14


def test_logits_to_refine_with_come_with_every_candidate(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    image = scene(6).image
    clicks = tuple(PromptedObject(points_xy=((x, 50.0),)) for x in (20.0, 60.0, 100.0))
    result = tiny_engine.segment(image, ObjectPrompt(clicks, multimask=True, return_logits=True))
    shape = (1, side(tiny_engine), side(tiny_engine))
    for instance in result.instances:
        for candidate in (instance, *instance.alternatives):
            logits = candidate.low_res_logits
            assert logits is not None and logits.dtype == np.float32
            assert logits.shape == shape and np.abs(logits).max() <= 32


def test_objects_with_and_without_a_mask_keep_their_order(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    drawn = scene(6, count_range=(4, 6))
    clicks = [PromptedObject(points_xy=(tuple(s.xyxy[:2] + 8),)) for s in drawn.shapes]
    first = tiny_engine.segment(
        drawn.image, ObjectPrompt(tuple(clicks), return_logits=True)
    ).instances
    mixed = [
        PromptedObject(
            (*c.points_xy, (1.0, 1.0)), (1, 0), mask_input=i.low_res_logits if k % 2 else None
        )
        for k, (c, i) in enumerate(zip(clicks, first, strict=True))
    ]
    calls = tiny_engine.decoder_calls
    together = tiny_engine.segment(drawn.image, ObjectPrompt(tuple(mixed))).instances
    assert tiny_engine.decoder_calls == calls + 2
    for prompted, instance in zip(mixed, together, strict=True):
        alone = tiny_engine.segment(drawn.image, ObjectPrompt((prompted,))).instances[0]
        assert alone.score == pytest.approx(instance.score, abs=1e-4)
        assert abs(alone.mask.area - instance.mask.area) <= 1e-3 * alone.mask.area + 2


def test_a_mask_to_refine_matters(tiny_engine: Engine, scene: Callable[..., Scene]) -> None:
    image = scene(6).image
    click = PromptedObject(points_xy=((40.0, 50.0),))
    other = np.full((1, side(tiny_engine), side(tiny_engine)), -10, np.float32)
    other[:, 30:50, 30:50] = 10
    plain = tiny_engine.segment(image, ObjectPrompt((click,))).instances[0]
    fed = tiny_engine.segment(
        image, ObjectPrompt((PromptedObject(click.points_xy, mask_input=other),))
    ).instances[0]
    assert fed.score != plain.score


@pytest.mark.parametrize(
    ("missing", "extra", "click"),
    [
        ([(2, 3, 9, 10)], [], ((5.0, 6.0), 1)),
        ([], [(20, 20, 27, 27)], ((23.0, 23.0), 0)),
        ([(2, 3, 9, 10)], [(20, 20, 31, 31)], ((25.0, 25.0), 0)),
    ],
)
def test_the_next_click_is_in_the_middle_of_the_larger_error(
    missing: list[tuple[int, ...]], extra: list[tuple[int, ...]], click: object
) -> None:
    errors = []
    for boxes in (missing, extra):
        error = np.zeros((40, 40), bool)
        for left, top, right, bottom in boxes:
            error[top:bottom, left:right] = True
        errors.append(error)
    assert heldout_objects.find_correcting_click(*errors) == click


def test_three_clicks_are_no_worse_with_refinement(tiny_engine: Engine) -> None:
    scores = heldout_objects.measure_refinement(tiny_engine, HELD_OUT_SEED, scenes=100)
    assert scores["three_clicks_refined_iou"] >= scores["three_clicks_plain_iou"]
