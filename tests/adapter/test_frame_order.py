"""Which frame follows which, by position and image."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_3.adapter.frame_order import FrameOrder, Relation
from infer_segment_anything_3.adapter.inputs.video import VideoPosition

SAME, NEXT, OTHER = Relation.SAME, Relation.NEXT, Relation.OTHER


def image(shade):
    return np.full((4, 6, 3), shade, np.uint8)


def film(index, count=9, path="a.mp4"):
    return VideoPosition(path, index, count)


STREAM = VideoPosition("camera", 0, 0)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param(
            [(0, film(0)), (1, film(1)), (1, film(2))],
            [(OTHER, 0), (NEXT, 1), (NEXT, 2)],
            id="played",
        ),
        pytest.param(
            [(0, film(3)), (0, film(3)), (0, film(3)), (1, film(4))],
            [(OTHER, 3), (SAME, 3), (SAME, 3), (NEXT, 4)],
            id="paused, then played",
        ),
        pytest.param(
            [(0, film(0)), (1, film(5)), (2, film(2)), (3, film(2, path="b.mp4"))],
            [(OTHER, 0), (OTHER, 5), (OTHER, 2), (OTHER, 2)],
            id="forwards, back, another video",
        ),
        pytest.param(
            [(0, film(0)), (0, film(0)), (1, film(0)), (1, film(0)), (2, film(0))],
            [(OTHER, 0), (SAME, 0), (NEXT, 2), (NEXT, 3), (NEXT, 4)],
            id="played while the position stands still, alike frames too",
        ),
        pytest.param(
            [(0, STREAM), (0, STREAM), (1, STREAM)],
            [(OTHER, 0), (NEXT, 1), (NEXT, 2)],
            id="stream",
        ),
        pytest.param(
            [(0, film(0, 0)), (1, film(1, 0)), (1, film(1, 0)), (0, film(0, 0))],
            [(OTHER, 0), (NEXT, 1), (NEXT, 2), (OTHER, 0)],
            id="a file that does not tell its number of frames, and again",
        ),
        pytest.param(
            [(0, None), (0, None), (1, film(0)), (1, None)],
            [(OTHER, 0), (NEXT, 1), (OTHER, 0), (OTHER, 0)],
            id="arrays, then a video",
        ),
    ],
)
def test_relation_and_index(frames, expected):
    order = FrameOrder()
    assert [(order.add(image(s), p), order.frame_index) for s, p in frames] == expected
