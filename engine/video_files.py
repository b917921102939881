"""Reads and writes video files, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from .images import RgbImage
from .validation import value_error

DEFAULT_FPS = 25.0
"""Frames per second of a file that does not say."""


class VideoReader:
    """Reads the frames of a video file in order.

    Attributes:
        path: The file.
        count: Number of frames as the file says it; 0 where it does not.
        hw: Height and width of the frames in pixels, as the file says them.
        fps: Frames per second.
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "video") -> None:
        """Opens a file.

        Args:
            path: The file.
            name: What errors call it.

        Raises:
            ValueError: If it is missing or cannot be read as a video.
        """
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise value_error(name, "an existing video file", str(path))
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise value_error(name, "a video file that OpenCV can read", str(path))
        self.count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.hw = (
            max(0, int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))),
            max(0, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))),
        )
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps < 1000 else DEFAULT_FPS
        capture.release()

    def __iter__(self) -> Iterator[RgbImage]:
        """Yields the frames from the first on, (H, W, 3) uint8, RGB; may be called again."""
        capture = cv2.VideoCapture(str(self.path))
        try:
            while True:
                is_read, frame = capture.read()
                if not is_read:
                    return
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            capture.release()


class VideoWriter:
    """Writes frames to an ``.mp4`` file that browsers play.

    In H.264 where OpenCV can write it (Ikomia's build), else in VP9, else in MPEG-4.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float) -> None:
        """Starts a file; it is created with the first frame.

        Args:
            path: Where to write; its folder must exist.
            fps: Frames per second.
        """
        self.path = Path(path)
        self._fps = fps
        self._writer: Any = None
        self._hw: tuple[int, int] | None = None

    def write(self, frame: RgbImage) -> None:
        """Appends a frame.

        Args:
            frame: (H, W, 3) uint8, RGB, all of one size. A last odd row or column is repeated,
                because H.264 wants even sizes.

        Raises:
            ValueError: If the frame has another size than the first.
            OSError: If the file cannot be written.
        """
        height, width = frame.shape[:2]
        if self._writer is None:
            self._hw = height, width
            self._writer = _open_writer(
                self.path, self._fps, (width + width % 2, height + height % 2)
            )
        elif (height, width) != self._hw:
            raise value_error("frame", f"the size of the first, {self._hw}", (height, width))
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        self._writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Completes the file."""
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _open_writer(path: Path, fps: float, size_wh: tuple[int, int]) -> Any:
    # PyPI's builds of OpenCV are packages. They have no encoder for H.264, and print that.
    codecs = ("vp09", "mp4v") if hasattr(cv2, "__path__") else ("avc1", "vp09", "mp4v")
    for codec in codecs:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size_wh)
        if writer.isOpened():
            return writer
    raise OSError(f"{path}: OpenCV cannot write a video there")
