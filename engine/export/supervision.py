"""Converts results to the ``Detections`` of the ``supervision`` library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..results import Result

if TYPE_CHECKING:
    import supervision


def to_detections(result: Result) -> supervision.Detections:
    """Converts a result to ``supervision.Detections``; the library must be installed.

    Args:
        result: What a run found.

    Returns:
        Detections in the order of the instances: ``xyxy`` (N, 4) float32 in pixels, ``mask``
        (N, H, W) bool, ``confidence`` (N,) float32, ``class_id`` (N,) int64 and
        ``data["class_name"]`` (N,) str.

    Raises:
        ImportError: If ``supervision`` is not installed.
    """
    import supervision

    if not result.instances:
        return supervision.Detections.empty()
    class_ids = np.array([instance.class_index for instance in result.instances], np.int64)
    return supervision.Detections(
        xyxy=np.array([instance.box_xyxy for instance in result.instances], np.float32),
        mask=np.stack([instance.mask.full() for instance in result.instances]),
        confidence=np.array([instance.score for instance in result.instances], np.float32),
        class_id=class_ids,
        data={"class_name": np.array(result.class_names)[class_ids]},
    )
