"""Scores of tracks: right ones are perfect, broken ones are not, ignored shapes do not count."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from infer_segment_anything_3.engine.results import Instance, Mask
from infer_segment_anything_3.tools.tiny_shapes.heldout.other_trackers import MAKERS, associate
from infer_segment_anything_3.tools.tiny_shapes.heldout.tracks import (
    FrameFound,
    FrameTruth,
    compute_boundary_accuracy,
    compute_region_similarity,
    score_clip,
    sum_scores,
)

FRAMES = 12


def square(left: int, top: int = 10, side: int = 20) -> Mask:
    full = np.zeros((64, 160), bool)
    full[top : top + side, left : left + side] = True
    return Mask.from_full(full)


def truth() -> list[FrameTruth]:
    """Two squares that move right, one above the other's way."""
    return [FrameTruth({"a": square(2 * t), "b": square(100 + 2 * t)}) for t in range(FRAMES)]


def right() -> list[FrameFound]:
    return [{7: frame.masks["a"], 3: frame.masks["b"]} for frame in truth()]


def total(found: list[FrameFound], there: list[FrameTruth] | None = None) -> dict[str, float]:
    return sum_scores([score_clip(there or truth(), found)])


def test_right_tracks_are_perfect() -> None:
    assert total(right()) == pytest.approx({"hota": 1, "idf1": 1, "id_switches": 0})


def test_ids_that_swap_cost_identity_and_are_counted() -> None:
    swapped = right()
    for t in range(FRAMES // 2, FRAMES):
        swapped[t] = {3: swapped[t][7], 7: swapped[t][3]}
    scores = total(swapped)
    assert scores["id_switches"] == 2
    assert scores["idf1"] == pytest.approx(0.5)
    assert 0.5 < scores["hota"] < 0.8


def test_what_is_missed_and_what_is_invented_costs() -> None:
    missed = [{7: frame[7]} for frame in right()]
    invented = [{**frame, 9: square(60, top=40)} for frame in right()]
    assert total(missed)["idf1"] == pytest.approx(2 / 3)
    assert total(invented)["idf1"] == pytest.approx(4 / 5)


def test_nothing_found_scores_zero() -> None:
    assert total([{} for _ in range(FRAMES)])["hota"] == 0


@pytest.mark.parametrize("found", [True, False])
def test_an_ignored_shape_counts_neither_for_nor_against(found: bool) -> None:
    there = [FrameTruth({"a": f.masks["a"]}, ignored=(f.masks["b"],)) for f in truth()]
    tracks = right() if found else [{7: frame[7]} for frame in right()]
    assert total(tracks, there) == pytest.approx({"hota": 1, "idf1": 1, "id_switches": 0})


def test_a_mask_beside_an_ignored_shape_still_counts_against() -> None:
    there = [FrameTruth({"a": f.masks["a"]}, ignored=(f.masks["b"],)) for f in truth()]
    tracks = [{7: frame[7], 9: square(60, top=40)} for frame in right()]
    assert total(tracks, there)["idf1"] == pytest.approx(2 / 3)


def test_j_and_f_fall_with_the_mask() -> None:
    wanted = square(40)
    shifted, far = square(45), square(100)
    assert (
        compute_region_similarity(wanted, wanted) == compute_boundary_accuracy(wanted, wanted) == 1
    )
    assert compute_region_similarity(shifted, wanted) == pytest.approx(15 / 25)
    assert 0 < compute_boundary_accuracy(shifted, wanted) < 1
    for lost in (far, None):
        assert (
            compute_region_similarity(lost, wanted) == compute_boundary_accuracy(lost, wanted) == 0
        )


@pytest.mark.parametrize("name", MAKERS)
def test_other_trackers_follow_what_moves_steadily(name: str) -> None:
    make, (at_once, _) = MAKERS[name]
    detected = [
        [Instance(0, 0.9, (0, 0, 0, 0), mask) for mask in frame.masks.values()] for frame in truth()
    ]
    tracks = associate(detected, classes=1, make=functools.partial(make, 0.5, at_once))
    assert total(tracks)["id_switches"] == 0
    assert total(tracks)["hota"] > 0.8
