"""Writes the tracks of a video, and the video with them, to the task's output folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from ...engine.export.tracks import TrackWriter
from ...engine.images import RgbImage
from ...engine.results import Result
from ...engine.video_files import DEFAULT_FPS, VideoReader, VideoWriter
from ..session import RunOutput
from .overlay import draw_overlay

logger = logging.getLogger("infer_segment_anything_3")


class OverlayVideo:
    """Writes ``<stem>_overlay.mp4``: the frames of one video with masks, ids and trails.

    A frame that is segmented again replaces itself. Frames that come after :meth:`finish` go to
    a file of their own, because a finished video cannot be extended. A video that cannot be
    written is a warning: the tracks are written all the same.

    Attributes:
        paths: The files so far.
    """

    def __init__(self, folder: Path, stem: str, source: str) -> None:
        """Chooses the first file.

        Args:
            folder: Where to write.
            stem: Begins the names of the files.
            source: Path of the video, for its frames per second; may be empty.
        """
        self._folder = folder
        self._stem = stem
        try:
            self._fps = VideoReader(source).fps
        except ValueError:  # a stream
            self._fps = DEFAULT_FPS
        self.paths: list[Path] = []
        self._writer: VideoWriter | None = None
        self._last: tuple[int, RgbImage] | None = None
        self._has_failed = False

    def write(self, frame_index: int, run: RunOutput) -> None:
        """Draws a frame; it is written when the next one comes.

        Args:
            frame_index: Index of the frame in its video.
            run: Its run.
        """
        if self._last is not None and self._last[0] != frame_index:
            self._flush()
        self._attempt(self._draw, frame_index, run)

    def finish(self) -> None:
        """Completes the file of the frames so far."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _draw(self, frame_index: int, run: RunOutput) -> None:
        self._last = frame_index, draw_overlay(run)

    def _flush(self) -> None:
        if self._last is not None:
            self._attempt(self._append, self._last[1])
            self._last = None

    def _append(self, overlay: RgbImage) -> None:
        if self._writer is None:
            number = f"_{len(self.paths) + 1}" if self.paths else ""
            self.paths.append(self._folder / f"{self._stem}_overlay{number}.mp4")
            self._writer = VideoWriter(self.paths[-1], self._fps)
        self._writer.write(overlay)

    def _attempt(self, step: Callable[..., None], *arguments: Any) -> None:
        """Calls a step; after one that failed, no other is called."""
        if self._has_failed:
            return
        try:
            step(*arguments)
        except (OSError, ValueError, cv2.error) as error:
            self._has_failed = True
            logger.warning("the video with the tracks is not written: %s", error)


class TrackFiles:
    """Writes the tracks of one video to its files, while auto-save is on."""

    def __init__(self) -> None:
        self._overlay: OverlayVideo | None = None
        self._writer: TrackWriter | None = None
        self._video = 0
        self._written: Result | None = None
        self._is_complete = True

    @property
    def paths(self) -> list[Path]:
        """The files of the last video that are there, tracks first."""
        if self._writer is None or self._overlay is None:
            return []
        paths = (self._writer.json_path, *self._overlay.paths)
        return [path for path in paths if path.is_file()]

    def write(self, run: RunOutput, folder: str) -> None:
        """Appends a frame; the last frame of a video also makes the JSON of the whole.

        So does a video that stands still: one with fewer frames than it says ends like that.

        Args:
            run: A run, followed or not.
            folder: The task's output folder.
        """
        result, frame_index = run.result, run.frame_index
        if result.frame_index is None or frame_index is None:
            return
        if result is self._written:
            self.finish()
            return
        if self._writer is None or run.video != self._video:
            self.finish()
            source = run.position.path if run.position else ""
            self._writer = TrackWriter(Path(folder), source)
            self._overlay = OverlayVideo(Path(folder), self._writer.stem, source)
            self._video = run.video
        self._writer.write(result, frame_index)
        assert self._overlay is not None
        self._overlay.write(frame_index, run)
        self._written, self._is_complete = result, False
        if run.position is not None and frame_index == run.position.count - 1:
            self.finish()

    def finish(self) -> Path | None:
        """Writes the JSON of the frames so far, unless it has them already.

        Returns:
            Its path; None where no video was written.
        """
        if self._writer is None:
            return None
        if not self._is_complete:
            self._writer.finish()
            if self._overlay is not None:
                self._overlay.finish()
            self._is_complete = True
        return self._writer.json_path
