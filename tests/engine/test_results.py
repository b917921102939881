"""Results compare and hash by what they hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from infer_segment_anything_3.engine import Instance, Mask, Result
from infer_segment_anything_3.engine.results import PackedMask


def make_mask(left: int = 3) -> Mask:
    full = np.zeros((20, 30), bool)
    full[5:9, left : left + 6] = True
    return Mask.from_full(full)


def make_result(left: int = 3, value: float = 0.0) -> Result:
    logits = np.full((1, 4, 4), value, np.float32)
    instance = Instance(0, 0.9, (3, 5, 9, 9), make_mask(left), low_res_logits=logits)
    return Result((20, 30), ("a",), (instance,))


def test_equal_results_are_equal_whatever_their_logits() -> None:
    assert make_result() == make_result(value=1.0)
    assert make_result() != make_result(left=4)
    assert make_result() != dataclasses.replace(make_result(), image_hw=(20, 31))


def test_masks_compare_and_hash_by_their_pixels() -> None:
    assert len({make_mask(), make_mask(), make_mask(4)}) == 2
    assert make_mask() != "a mask"
    assert Mask((20, 31), make_mask().origin_xy, make_mask().crop) != make_mask()


@pytest.mark.parametrize("left", [0, 3, 24])
def test_a_packed_mask_unpacks_to_the_same(left: int) -> None:
    assert PackedMask.from_mask(make_mask(left)).unpack() == make_mask(left)


def test_a_speck_hardly_moves_the_centroid() -> None:
    full = np.zeros((60, 100), bool)
    full[10:30, 20:60] = True
    assert Mask.from_full(full).centroid_xy == (40, 20)
    full[58, 98] = True
    x, y = Mask.from_full(full).centroid_xy
    assert (x, y) == pytest.approx((40, 20), abs=0.1)
    assert np.isnan(Mask.from_full(np.zeros((6, 8), bool)).centroid_xy).all()
