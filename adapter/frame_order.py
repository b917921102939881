"""Finds out how a frame follows the one before: Ikomia gives the frames of a video one by one."""

from __future__ import annotations

import enum

import numpy as np
import numpy.typing as npt

from .inputs.video import VideoPosition


class Relation(enum.Enum):
    """Relation of a frame to the previous one: the same, the next, or neither."""

    SAME = enum.auto()
    NEXT = enum.auto()
    OTHER = enum.auto()


class FrameOrder:
    """Classifies a frame: the same as the previous one, the next one, or neither.

    The position alone does not tell: behind a task whose video is saved it stands still while
    the video plays, as it does in a paused video. So the image of the frame before is kept.

    Attributes:
        frame_index: Index of the newest frame in its video; of a stream and of frames given as
            arrays, from the first one that was seen.
    """

    def __init__(self) -> None:
        self.frame_index = 0
        self._image: npt.NDArray[np.uint8] | None = None
        self._position: VideoPosition | None = None
        self._repeats = 0
        self._plays_in_place = False

    def add(self, image: npt.NDArray[np.uint8], position: VideoPosition | None) -> Relation:
        """Compares a frame with the one before, and stores it for the next comparison.

        Args:
            image: (H, W, 3) uint8, RGB.
            position: Of the frame; None where frames come as arrays.

        Returns:
            Its relation to the frame before.
        """
        relation = self._compare(image, position)
        is_told = position is not None and position.is_known
        has_moved = is_told and (self._position is None or position != self._position)
        if relation is Relation.SAME:
            self._repeats += 1
        elif relation is Relation.NEXT and not has_moved:
            # Equal frames counted as repeats, but now it shows that the video went on meanwhile.
            self.frame_index += 1 + self._repeats
        else:
            self.frame_index = position.index if position is not None and is_told else 0
        if relation is not Relation.SAME:
            self._repeats = 0
        self._plays_in_place = relation is Relation.NEXT and is_told and not has_moved
        self._image, self._position = image, position
        return relation

    def _compare(self, image: npt.NDArray[np.uint8], position: VideoPosition | None) -> Relation:
        before = self._position
        if self._image is None:
            return Relation.OTHER
        if position is None or before is None:
            return Relation.NEXT if position is before else Relation.OTHER
        if position.path != before.path:
            return Relation.OTHER
        step = position.index - before.index
        if not position.is_known:
            return Relation.NEXT if step >= 0 else Relation.OTHER
        if step == 0 and not self._plays_in_place and np.array_equal(image, self._image):
            return Relation.SAME
        return Relation.NEXT if step in (0, 1) else Relation.OTHER
