"""Writes the tracks of a video to files in the task's output folder."""

from __future__ import annotations

from pathlib import Path

from ...engine.export.tracks import TrackWriter
from ..session import RunOutput


class TrackFiles:
    """Writes the tracks of one video to its files, while auto-save is on."""

    def __init__(self) -> None:
        self._writer: TrackWriter | None = None
        self._next_frame = 0

    def write(self, run: RunOutput, folder: str) -> None:
        """Appends a frame; the last frame of a video also makes the JSON of the whole.

        Args:
            run: A run, followed or not.
            folder: The task's output folder.
        """
        result, frame_index = run.result, run.frame_index
        if result.frame_index is None or frame_index is None:
            return
        if result.frame_index < self._next_frame or self._writer is None:
            self.close()
            self._writer = TrackWriter(Path(folder), run.position.path if run.position else "")
        self._next_frame = result.frame_index + 1
        self._writer.write(result, frame_index)
        if run.position is not None and run.position.is_last:
            self.close()

    def finish(self) -> Path | None:
        """Writes the JSON of the frames so far.

        Returns:
            Its path; None where no video was written.
        """
        return self._writer.finish() if self._writer else None

    def close(self) -> None:
        """Writes the JSON and closes the files; the next frame begins new ones."""
        if self._writer is not None:
            self._writer.finish()
            self._writer.close()
        self._writer, self._next_frame = None, 0
