"""The brush RLE decodes to the very mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from infer_segment_anything_3.engine.export.brush_rle import encode_brush_rle

from .rle_decoder import decode_brush_rle


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()
    )
)
def test_random_masks(mask: np.ndarray) -> None:
    assert np.array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 63, 64, 65, 16_383, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("value", [False, True])
def test_runs_at_the_borders_of_token_widths(length: int, value: bool) -> None:
    mask = np.full((1, length + 3), not value)
    mask[0, 2 : 2 + length] = value
    assert np.array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


def test_a_ring_keeps_its_hole() -> None:
    rows, columns = np.ogrid[-30:30, -40:40]
    radius = np.hypot(rows, columns)
    mask = (radius < 25) & (radius > 12)
    assert np.array_equal(decode_brush_rle(encode_brush_rle(mask), mask.shape), mask)


def test_a_mask_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="mask: expected at least one pixel"):
        encode_brush_rle(np.zeros((0, 4), bool))
