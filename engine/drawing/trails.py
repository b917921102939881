"""Remembers where the tracks in view were on the last frames, to draw their paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ..results import Result
from ..validation import PointXy

TRAIL_FRAMES = 30
"""Frames for which the path of a track is drawn."""


class Trails:
    """Keeps the centroids of each track in view on the last :data:`TRAIL_FRAMES` frames."""

    def __init__(self) -> None:
        self._trails: dict[int, deque[PointXy]] = {}

    def add(self, result: Result) -> None:
        """Adds a frame; tracks that are not on it lose their path.

        Args:
            result: Of the frame, with track ids.
        """
        seen: set[int] = set()
        for instance in result.instances:
            if instance.track_id is not None and instance.mask.area:
                trail = self._trails.setdefault(instance.track_id, deque(maxlen=TRAIL_FRAMES))
                trail.append(instance.mask.centroid_xy)
                seen.add(instance.track_id)
        for track_id in set(self._trails) - seen:
            del self._trails[track_id]

    def clear(self) -> None:
        """Forgets all paths."""
        self._trails.clear()

    def copy(self) -> Mapping[int, tuple[PointXy, ...]]:
        """Returns the path of each track in view: (x, y) in pixels, oldest first."""
        return {track_id: tuple(trail) for track_id, trail in self._trails.items()}
