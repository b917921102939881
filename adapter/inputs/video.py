"""Reads where in a video the input's current frame is."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class VideoPosition:
    """One frame of a video or of a live stream at the input.

    Attributes:
        path: Path or address of the video; empty for a camera.
        index: Index of the frame, from 0; None for a stream.
        count: Number of frames; 0 for a stream.
    """

    path: str
    index: int | None
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the video ends with this frame."""
        return self.index is not None and self.index == self.count - 1


def read_video_position(source: Any) -> VideoPosition | None:
    """Reads the position of a video input; call it before the frame is read.

    Args:
        source: The task's input 0.

    Returns:
        The position; None where the input is no video.
    """
    from ikomia import dataprocess

    if not isinstance(source, dataprocess.CVideoIO):
        return None
    count = max(0, int(source.get_video_frame_count()))
    # Reading the frame moves the position on.
    index = int(source.get_current_pos()) if count else None
    return VideoPosition(str(source.get_video_path()), index, count)
