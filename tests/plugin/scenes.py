"""What the plugin's tests ask of a scene."""

from __future__ import annotations

import numpy as np

from infer_segment_anything_3.tests.helpers import compute_iou

GOOD_IOU = 0.8
"""What a single mask of the bundled model must reach; its mean is far higher."""


def inside(shape):
    """A pixel deep inside a shape, as [x, y]."""
    ys, xs = np.nonzero(shape.mask)
    nearest = np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2)
    return [int(xs[nearest]), int(ys[nearest])]


def box(shape):
    """Its box, as [x1, y1, x2, y2]."""
    return [int(value) for value in shape.xyxy]


def objects(algo, index=2):
    return algo.get_output(index).get_objects()


def masks(algo, index=2):
    return [found.mask for found in objects(algo, index)]


def matched(found, shapes):
    """Whether each shape has a mask of its own and no mask is left."""
    best = [
        max(((compute_iou(m, s.mask), k) for k, m in enumerate(found)), default=(0, -1))
        for s in shapes
    ]
    return (
        len(found) == len(shapes)
        and len({k for _, k in best}) == len(shapes)
        and all(value >= GOOD_IOU for value, _ in best)
    )
