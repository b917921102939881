"""Reports the progress of a video on the console, and its files at the end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path, PurePath

from ..engine.wording import count_things
from .session import RunOutput

# Ikomia shows the INFO lines of its own loggers, and those of others from WARNING on.
logger = logging.getLogger("ikomia.infer_segment_anything_3")

LINE_EVERY_S = 30.0
"""Where standard error is no terminal, the progress of a long video is told so often."""


class VideoReport:
    """Shows the progress of a video file, and one line at its end.

    On a terminal the progress is one line that is written over; elsewhere a line now and then.
    Live streams, whose length is not known, are not reported.
    """

    def __init__(self) -> None:
        self._path = ""
        self._frames = 0
        self._track_ids: set[int] = set()
        self._is_tracked = False
        self._files: list[Path] | None = None
        self._is_line_shown = False
        self._next_line_s = 0.0

    def show(self, run: RunOutput, files: Sequence[Path] | None = None) -> None:
        """Counts a frame; the last one of its video ends the report.

        Args:
            run: A run, of a video or not.
            files: What is written of it; None without auto-save.
        """
        position = run.position
        if position is None or not position.is_known:
            self.finish()
            return
        if position.path != self._path or position.index == 0:
            # The one before may have had fewer frames than its file says.
            self.finish()
            self._begin(position.path)
        self._files = None if files is None else list(files)
        self._frames += 1
        self._is_tracked = self._is_tracked or run.is_tracked
        self._track_ids |= {i.track_id for i in run.result.instances if i.track_id is not None}
        self._track_ids -= set(run.result.removed_track_ids)
        if position.index >= position.count - 1:
            self.finish()
        else:
            self._show_progress(position.index + 1, position.count)

    def finish(self, files: Sequence[Path] | None = None) -> None:
        """Writes the last line of a video, once.

        Args:
            files: What was written of it until now, where that is more than :meth:`show` knew.
        """
        if not self._path:
            return
        if self._files is not None and files:
            self._files = list(files)
        self._end_line()
        what = count_things(self._frames, "frame")
        if self._is_tracked:
            what += f", {count_things(len(self._track_ids), 'track')}"
        where = "Only the last frame's outputs are kept: wf.set_auto_save(True) before the run"
        where += " saves tracks and a video with them."
        if self._files:
            where = "Written: " + ", ".join(map(str, self._files))
        logger.info("%s: %s. %s", PurePath(self._path).name, what, where)
        self._begin("")

    def drop(self) -> None:
        """Ends the report without a line, as where an error ends the video."""
        self._begin("")

    def _begin(self, path: str) -> None:
        self._end_line()
        self._path, self._frames = path, 0
        self._track_ids = set()
        self._is_tracked = False
        self._files = None
        self._next_line_s = time.monotonic() + LINE_EVERY_S

    def _show_progress(self, done: int, count: int) -> None:
        name = PurePath(self._path).name
        line = f"{name}: frame {done} of {count}"
        if self._is_tracked:
            line += f", {count_things(len(self._track_ids), 'track')}"
        # A host without a console has none.
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._is_line_shown = True
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + LINE_EVERY_S
            logger.info("%s", line)

    def _end_line(self) -> None:
        if self._is_line_shown and sys.stderr is not None:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._is_line_shown = False
