"""Tracks the objects of a prompt through a whole video file or list of frames."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..drawing.overlay import draw_result
from ..drawing.trails import Trails
from ..export.tracks import from_track_row, to_track_row, to_youtube_vis
from ..images import RgbImage
from ..prompts import ConceptPrompt, ObjectPrompt
from ..results import Result
from ..video_files import DEFAULT_FPS, VideoReader, VideoWriter
from .session import VideoSession

if TYPE_CHECKING:
    from ..engine import Engine

FrameCallback = Callable[[int, int], None]
"""Called with the number of frames done, and of all frames; 0 where that is not known."""


@dataclasses.dataclass(frozen=True, repr=False)
class VideoTracks:
    """Holds the tracks of a video: for each frame its instances, their masks as run lengths.

    Attributes:
        source: The video file; None where frames were given.
        fps: Frames per second.
        class_names: Name of each class.
        rows: A row of :func:`~..export.tracks.to_track_row` for each frame.
    """

    source: Path | None
    fps: float
    class_names: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Result]:
        """Yields the result of each frame, without tracks that proved false starts later."""
        kept = set(self.track_ids)
        for row in self.rows:
            shown = [i for i in row["instances"] if i["track_id"] in kept]
            yield from_track_row({**row, "instances": shown}, self.class_names)

    def __repr__(self) -> str:
        """Returns one line: the source, frames and tracks."""
        source = self.source.name if self.source else "frames"
        return f"<VideoTracks: {source}, {len(self)} frames, {len(self.track_ids)} tracks>"

    @property
    def track_ids(self) -> tuple[int, ...]:
        """Ids of all tracks but those that proved false starts, sorted."""
        removed = {i for row in self.rows for i in row["removed"]}
        seen = {instance["track_id"] for row in self.rows for instance in row["instances"]}
        return tuple(sorted(seen - removed))

    def to_youtube_vis(self) -> dict[str, Any]:
        """Converts the tracks to YouTube-VIS's format, COCO's for videos."""
        return to_youtube_vis(self.rows, self.source.name if self.source else "")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the tracks as one JSON file in YouTube-VIS's format.

        Args:
            path: Where to.

        Returns:
            The path.
        """
        path = Path(path)
        path.write_text(json.dumps(self.to_youtube_vis()), encoding="utf-8")
        return path

    def save_video(
        self,
        path: str | os.PathLike[str],
        frames: Iterable[RgbImage] | None = None,
        labels: bool = True,
        on_frame: FrameCallback | None = None,
    ) -> Path:
        """Writes a video with masks, ids and trails drawn over the frames.

        Args:
            path: Where to: ``.mp4``.
            frames: The frames once more, (H, W, 3) uint8, RGB; by default read from the source.
            labels: Whether to write names, ids and scores.
            on_frame: Called after each frame.

        Returns:
            The path.

        Raises:
            ValueError: If frames were tracked and are not given again.
            OSError: If the video cannot be written.
        """
        if frames is None:
            if self.source is None:
                raise ValueError("frames: expected the frames that were tracked, got none")
            frames = VideoReader(self.source)
        trails = Trails()
        with VideoWriter(path, self.fps) as writer:
            for index, (frame, result) in enumerate(zip(frames, self, strict=False), 1):
                trails.add(result)
                writer.write(draw_result(frame, result, labels=labels, trails=trails.copy()))
                if on_frame is not None:
                    on_frame(index, len(self))
        return Path(path)


def track_video(
    engine: Engine,
    source: str | os.PathLike[str] | Iterable[RgbImage],
    prompt: ConceptPrompt | ObjectPrompt,
    *,
    fps: float = DEFAULT_FPS,
    max_frames: int | None = None,
    on_frame: FrameCallback | None = None,
    **options: Any,
) -> VideoTracks:
    """Tracks the objects of a prompt through a whole video.

    Frames are read one by one; masks are kept as run lengths, so memory grows by a few kilobytes
    a frame. For live streams and corrections there is :class:`VideoSession`.

    Args:
        engine: An engine whose weights hold the tracker.
        source: A video file, or frames (H, W, 3) uint8, RGB.
        prompt: What to follow, see :class:`VideoSession`.
        fps: Frames per second of frames that are given; a file says its own.
        max_frames: Stop after so many frames.
        on_frame: Called after each frame; what it raises ends the tracking.
        **options: Further arguments of :class:`VideoSession`.

    Returns:
        The tracks.

    Raises:
        ValueError: If the video cannot be read, or the prompt cannot be followed.

    Example:
        >>> tracks = track_video(engine, "street.mp4", ConceptPrompt(("person",)))
        >>> tracks.save_video("street_overlay.mp4")
    """
    path, count = None, len(source) if isinstance(source, list | tuple) else 0
    if isinstance(source, str | os.PathLike):
        reader = source = VideoReader(source)
        path, count, fps = reader.path, reader.count, reader.fps
    if max_frames is not None:
        count = min(count or max_frames, max_frames)
    session = VideoSession(engine, prompt, **options)
    rows: list[dict[str, Any]] = []
    names: tuple[str, ...] = ()
    for frame in source:
        result = session.step(frame)
        names = names or result.class_names
        rows.append(to_track_row(result, len(rows)))
        if on_frame is not None:
            on_frame(len(rows), count)
        if max_frames is not None and len(rows) >= max_frames:
            break
    return VideoTracks(path, fps, names, tuple(rows))
