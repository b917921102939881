"""Reads where in a video the input's current frame is."""

from __future__ import annotations

import dataclasses
from typing import Any

_MOST_FRAMES = 2**31
"""More frames than any video has."""


@dataclasses.dataclass(frozen=True)
class VideoPosition:
    """One frame of a video or of a live stream at the input.

    Attributes:
        path: Path or address of the video; empty for a camera.
        index: Index of the frame, from 0; 0 for a stream.
        count: Number of frames; 0 for a stream, and where a file does not tell.
    """

    path: str
    index: int
    count: int

    @property
    def is_known(self) -> bool:
        """Whether the index and the count are known."""
        return self.count > 0


def read_video_position(source: Any) -> VideoPosition | None:
    """Reads the position of a video input; call it before the frame is read.

    Args:
        source: The task's input 0.

    Returns:
        The position; None where the input is no video.
    """
    from ikomia import core, dataprocess

    if not isinstance(source, dataprocess.CVideoIO):
        return None
    # Behind another task only ``source_file_path`` is set.
    path = str(source.get_video_path() or source.source_file_path)
    if source.data_type == core.IODataType.LIVE_STREAM:
        return VideoPosition(path, 0, 0)
    # Ikomia hands on OpenCV's negative "unknown" as an unsigned number.
    count = int(source.get_video_frame_count())
    # Reading the frame moves the position on.
    index = int(source.get_current_pos())
    return VideoPosition(path, index, count if count <= _MOST_FRAMES else 0)
