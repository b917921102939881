"""Crowds hold as many shapes of one look as they say, apart from each other."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.tools.tiny_shapes.crowds import draw_crowd
from infer_segment_anything_3.tools.tiny_shapes.scenes import EXTENT_RANGE


@pytest.mark.parametrize("seed", range(6))
def test_a_crowd_has_three_to_eight_shapes_that_look_like_its_first(seed: int) -> None:
    scene = draw_crowd(np.random.default_rng(seed), side_range_px=(240, 480))
    first = scene.shapes[0]
    alike = scene.find_matching(f"{first.color} {first.kind}")
    assert 3 <= len(alike) <= 8
    covered = np.sum([shape.mask for shape in scene.shapes], axis=0)
    assert covered.max() == 1
    least_px = EXTENT_RANGE[0] * min(scene.image.shape[:2])
    for shape in alike:
        left, top, right, bottom = shape.xyxy
        assert max(right - left, bottom - top) >= 0.9 * least_px - 2


def test_some_crowds_stand_in_rows() -> None:
    in_rows = 0
    for seed in range(12):
        scene = draw_crowd(np.random.default_rng(seed), (9, 9), (240, 480), (0.07, 0.3))
        first = scene.shapes[0]
        alike = scene.find_matching(f"{first.color} {first.kind}")
        middles = np.array([(s.xyxy[1] + s.xyxy[3]) / 2 for s in alike])
        gaps = np.diff(np.sort(middles))
        in_rows += bool(np.count_nonzero(gaps < 0.02 * scene.image.shape[0]) >= 5)
    assert 2 <= in_rows < 12
