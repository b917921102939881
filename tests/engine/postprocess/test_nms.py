"""What is left out after the model has spoken."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from infer_segment_anything_3.engine import (
    ConceptPrompt,
    Engine,
    EverythingPrompt,
    Instance,
    Mask,
    Result,
)
from infer_segment_anything_3.engine.model.sam3_imports import mask_iou
from infer_segment_anything_3.engine.postprocess.nms import (
    apply_filters,
    compute_cell_ious,
    compute_mask_ious,
    mask_nms,
)
from infer_segment_anything_3.tools.tiny_shapes.scenes import Scene


def bar(length: int, score: float, class_index: int = 0, left: int = 0) -> Instance:
    """A bar 10 px high and ``length`` px long."""
    mask = Mask((50, 300), (left, 20), np.ones((10, length), bool))
    left, top, right, bottom = mask.xyxy
    return Instance(class_index, score, (left, top, right, bottom), mask)


EMPTY = dataclasses.replace(bar(1, 0.4), mask=Mask((50, 300), (0, 0), np.zeros((0, 0), bool)))


@pytest.mark.parametrize(
    ("instances", "kept"),
    [
        ([], []),
        ([bar(100, 0.5)], [0]),
        ([bar(100, 0.6), bar(80, 0.9)], [1]),
        ([bar(80, 0.9), bar(100, 0.6)], [0]),
        ([bar(100, 0.9, 0), bar(90, 0.8, 1)], [0]),
        ([bar(100, 0.9), bar(70, 0.8)], [0, 1]),  # an IoU of 0.7 is not above it
        ([bar(100, 0.9), bar(71, 0.8)], [0]),
        ([bar(100, 0.9), bar(100, 0.8, left=150)], [0, 1]),
        # What is dropped drops nobody: the third overlaps only the second.
        ([bar(100, 0.9), bar(80, 0.8), bar(60, 0.7)], [0, 2]),
        ([bar(100, 0.5), bar(100, 0.5), bar(100, 0.5)], [0]),
        ([EMPTY, EMPTY, bar(100, 0.2)], [0, 1, 2]),
    ],
)
def test_the_best_of_rivals_stays_in_its_place(instances: list[Instance], kept: list[int]) -> None:
    assert mask_nms(instances) == tuple(instances[k] for k in kept)


def test_ious_are_those_of_the_full_masks() -> None:
    rng = np.random.default_rng(0)
    fulls = [np.kron(rng.random((6, 8)) < 0.4, np.ones((7, 5), bool)) for _ in range(12)]
    fulls[3][:] = False
    ious = compute_mask_ious([Mask.from_full(full) for full in fulls])
    for i, one in enumerate(fulls):
        for j, other in enumerate(fulls):
            union = np.count_nonzero(one | other)
            want = np.count_nonzero(one & other) / union if union else 0.0
            assert ious[i, j] == pytest.approx(want)


def test_large_images_need_no_full_size_masks() -> None:
    crops = [Mask((4000, 6000), (30 * k, 30 * k), np.ones((200, 300), bool)) for k in range(100)]
    instances = [Instance(0, 0.5, (0, 0, 1, 1), mask) for mask in crops]
    tracemalloc.start()
    mask_nms(instances)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 6000


@pytest.mark.parametrize(
    ("prompt", "areas"),
    [
        (ConceptPrompt(("a",)), [1000, 900, 30]),
        (ConceptPrompt(("a",), min_area_px=30), [1000, 900, 30]),
        (ConceptPrompt(("a",), min_area_px=31), [1000, 900]),
        (ConceptPrompt(("a",), overlap="best"), [1000, 30]),
        (ConceptPrompt(("a",), overlap="best", min_area_px=31), [1000]),
        (EverythingPrompt(), [1000, 900, 30]),
        (EverythingPrompt(min_area_px=1001), []),
    ],
)
def test_a_prompt_says_what_stays(
    prompt: ConceptPrompt | EverythingPrompt, areas: list[int]
) -> None:
    instances = (bar(100, 0.9), bar(90, 0.8), bar(3, 0.7, left=200))
    result = apply_filters(Result((50, 300), ("a",), instances, True, ("a",)), prompt)
    assert [i.mask.area for i in result.instances] == areas
    assert result.truncated == ("a",) and result.image_was_cached


def test_one_pixel_one_answer_without_another_network_run(
    tiny_engine: Engine, scene: Callable[..., Scene]
) -> None:
    drawn = scene(11)
    color = drawn.shapes[0].color
    prompt = ConceptPrompt((f"{color} shape", f"{color} {drawn.shapes[0].kind}"))
    low = dataclasses.replace(prompt, confidence_threshold=0.05)
    kept = tiny_engine.segment(drawn.image, low).instances
    before = tiny_engine.encodings, tiny_engine.text_encodings
    best = tiny_engine.segment(drawn.image, dataclasses.replace(low, overlap="best")).instances
    assert (tiny_engine.encodings, tiny_engine.text_encodings) == before
    boxes = {i.box_xyxy for i in kept}
    assert {i.box_xyxy for i in best} < boxes
    ious = compute_mask_ious([i.mask for i in best])
    np.fill_diagonal(ious, 0)
    assert ious.max(initial=0) <= 0.7


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ious_of_low_resolution_masks_are_the_packages(precision: str) -> None:
    masks = torch.randn(6, 288, 288, generator=torch.Generator().manual_seed(1)) > 0.3
    masks[2] = False
    masks[3] = masks[0]
    masks[4:, :, 100:] = False
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        ious = compute_cell_ious(masks, masks[1:])
    assert torch.equal(ious, mask_iou(masks, masks[1:]))
    assert compute_cell_ious(masks[:0], masks).shape == (0, 6)
