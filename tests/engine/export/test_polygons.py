"""Outlines of masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from pycocotools import mask as mask_api

from infer_segment_anything_3.engine import Mask
from infer_segment_anything_3.engine.export.polygons import mask_to_pixel_rings, mask_to_polygon


def test_one_polygon_holds_all_parts_of_a_mask():
    full = np.zeros((60, 80), bool)
    full[5:25, 5:30] = True
    full[10:15, 10:15] = False
    full[30:50, 40:70] = True
    full[55:59, 2:9] = True
    polygon = mask_to_polygon(Mask.from_full(full))
    [rle] = mask_api.frPyObjects([polygon], *full.shape)
    filled = mask_api.decode(rle).astype(bool)
    assert (filled & full).sum() >= 0.98 * (filled | full).sum()


def test_an_empty_mask_has_no_polygon():
    assert mask_to_polygon(Mask.from_full(np.zeros((4, 4), bool))) == []


def fill(rings: list[list[list[int]]], hw: tuple[int, int]) -> np.ndarray:
    filled = np.zeros(hw, np.uint8)
    for ring in rings:
        cv2.fillPoly(filled, [np.array(ring)], 1)
    return filled.astype(bool)


@given(np_st.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(deadline=None, max_examples=150)
def test_opencv_fills_pixel_rings_to_the_mask_of_any_parts(mask):
    # Open holes, so that every ring is an outline.
    mask = mask & (np.arange(mask.shape[0]) % 3 != 1)[:, None]
    rings = mask_to_pixel_rings(Mask.from_full(mask))
    assert (fill(rings, mask.shape) == mask).all()
    for ring in rings:
        assert len(ring) >= 3
        assert all(type(value) is int for point in ring for value in point)


def test_pixel_rings_leave_holes_open_but_for_the_cut():
    mask = np.zeros((60, 80), bool)
    mask[5:45, 5:50] = True
    mask[15:30, 20:40] = False
    (ring,) = mask_to_pixel_rings(Mask.from_full(mask))
    filled = fill([ring], mask.shape)
    assert mask[filled].sum() == mask.sum()
    assert (filled & ~mask).sum() <= 20


@pytest.mark.parametrize("hw", [(1, 1), (3, 4)])
def test_pixel_rings_end_at_the_last_pixel(hw):
    (ring,) = mask_to_pixel_rings(Mask.from_full(np.ones(hw, bool)))
    assert np.max(ring, axis=0).tolist() == [hw[1] - 1, hw[0] - 1]
    assert mask_to_pixel_rings(Mask.from_full(np.zeros(hw, bool))) == []
