"""Associates detections by other trackers, to compare SAM 3's tracker with.

This engine's detections on each frame, associated by ByteTrack or OC-SORT from Roboflow's
``trackers``, each class on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....engine.results import Instance, Mask
from .tracks import FrameFound

THRESHOLDS = (0.3, 0.5, 0.7, 0.85)
"""Detection thresholds among which each tracker gets its best."""

LOWEST_SCORE = 0.1
"""Detections below are not given to a tracker (ByteTrack's own lowest)."""


def make_byte_track(threshold: float, patience: int) -> Any:
    """Makes a ByteTrack tracker.

    Args:
        threshold: Score of detections that start tracks and are associated first.
        patience: Consecutive frames that a new track needs before it is shown.

    Returns:
        A tracker for one class.
    """
    from trackers import ByteTrackTracker

    return ByteTrackTracker(
        track_activation_threshold=threshold,
        high_conf_det_threshold=threshold,
        minimum_consecutive_frames=patience,
    )


def make_oc_sort(threshold: float, patience: int) -> Any:
    """Makes an OC-SORT tracker, as :func:`make_byte_track`."""
    from trackers import OCSORTTracker

    return OCSORTTracker(high_conf_det_threshold=threshold, minimum_consecutive_frames=patience)


MAKERS: dict[str, tuple[Callable[[float, int], Any], tuple[int, ...]]] = {
    "bytetrack": (make_byte_track, (1, 2)),
    "ocsort": (make_oc_sort, (1, 3)),
}
"""By name: what makes a tracker, and numbers of frames before it shows a track, of which it
gets its best; the last one is the library's own."""


def associate(
    frames: Sequence[Sequence[Instance]], classes: int, make: Callable[[], Any]
) -> list[FrameFound]:
    """Associates the detections of a clip to tracks.

    Args:
        frames: Detections by frame, with scores from :data:`LOWEST_SCORE` on.
        classes: Number of classes.
        make: Makes a tracker.

    Returns:
        Masks by frame and track; ids are (class, the tracker's id).
    """
    trackers = [make() for _ in range(classes)]
    found: list[FrameFound] = []
    for instances in frames:
        masks: dict[Any, Mask] = {}
        for class_index, tracker in enumerate(trackers):
            of_class = [i for i in instances if i.class_index == class_index]
            tracked = tracker.update(_detections(of_class))
            for row, track_id in zip(tracked.data.get("row", ()), tracked.tracker_id, strict=True):
                if track_id >= 0:
                    masks[class_index, int(track_id)] = of_class[int(row)].mask
        found.append(masks)
    return found


def _detections(instances: Sequence[Instance]) -> Any:
    import supervision

    return supervision.Detections(
        xyxy=np.array([i.mask.xyxy for i in instances], np.float64).reshape(-1, 4),
        confidence=np.array([i.score for i in instances], np.float64),
        data={"row": np.arange(len(instances))},
    )
