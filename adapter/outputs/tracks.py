"""Writes the tracks of a video to files in the task's output folder."""

from __future__ import annotations

from pathlib import Path

from ...engine.export.tracks import TrackWriter
from ...engine.results import Result
from ..session import RunOutput


class TrackFiles:
    """Writes the tracks of one video to its files, while auto-save is on."""

    def __init__(self) -> None:
        self._writer: TrackWriter | None = None
        self._video = 0
        self._written: Result | None = None
        self._is_complete = True

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
            self._writer = TrackWriter(Path(folder), run.position.path if run.position else "")
            self._video = run.video
        self._writer.write(result, frame_index)
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
            self._is_complete = True
        return self._writer.json_path
