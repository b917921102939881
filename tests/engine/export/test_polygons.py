"""Outlines of masks."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_api

from infer_segment_anything_3.engine import Mask
from infer_segment_anything_3.engine.export.polygons import mask_to_polygon


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
