"""Follows objects through uploaded videos, a few at a time, in turns with other requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path

from ..engine import ConceptPrompt, Result, VideoSession
from ..engine.images import RgbImage
from ..engine.runtime.memory import GpuMemoryError
from ..engine.video_files import VideoReader
from .errors import ApiError, BusyError
from .service import SegmentationService
from .worker import Group


class VideoRuns:
    """Bounds the videos that are followed at the same time.

    Attributes:
        running: How many are.
    """

    def __init__(self, most: int) -> None:
        """Sets the bound.

        Args:
            most: How many may run.
        """
        self._most = most
        self.running = 0

    @contextlib.asynccontextmanager
    async def hold_place(self) -> AsyncIterator[None]:
        """Holds a place while the block runs.

        Raises:
            BusyError: If all are taken.
        """
        if self.running >= self._most:
            raise BusyError
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


@contextlib.asynccontextmanager
async def store_temporarily(
    service: SegmentationService, chunks: AsyncIterator[bytes]
) -> AsyncIterator[Path]:
    """Writes an upload to a file of a name of our own, which is removed with the block.

    Args:
        service: Its threads write.
        chunks: The upload, whose size the server has bounded.

    Yields:
        The file.
    """
    handle, name = tempfile.mkstemp(prefix="sam3-video-")
    try:
        with os.fdopen(handle, "wb") as file:
            async for chunk in chunks:
                await service.run_in_thread(file.write, chunk)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


async def open_video(service: SegmentationService, path: Path) -> VideoReader:
    """Opens a video and checks its size against the settings.

    Raises:
        ApiError: 400 if it is none that can be read, 413 if it has too many pixels or frames.
    """
    settings = service.settings
    try:
        reader = await service.run_in_thread(VideoReader, path)
    except ValueError:
        raise ApiError(400, "video: expected a video file that OpenCV can read") from None
    if reader.hw[0] * reader.hw[1] > settings.max_pixels:
        raise ApiError(413, f"video: expected frames of at most {settings.max_pixels:,} pixels")
    async with service.pixels.hold(reader.hw[0] * reader.hw[1]):
        first = await service.run_in_thread(lambda: next(iter(reader), None))
    if first is None:
        raise ApiError(400, "video: expected at least one frame")
    if first.shape[:2] != reader.hw:
        raise ApiError(400, f"video: expected frames of {reader.hw[1]} x {reader.hw[0]} pixels")
    if reader.count > settings.max_video_frames:
        most = f"{settings.max_video_frames:,}"
        raise ApiError(413, f"video: expected at most {most} frames, got {reader.count:,}")
    return reader


async def follow_video(
    service: SegmentationService, reader: VideoReader, prompt: ConceptPrompt, group: Group
) -> AsyncGenerator[Result, None]:
    """Follows a prompt through a video; each frame is a turn of the model.

    Args:
        service: Its worker runs the model, its threads decode.
        reader: The video.
        prompt: What to follow.
        group: Whose it is, see :class:`.worker.Group`.

    Yields:
        The result of each frame, at most as many as the settings allow.

    Raises:
        ApiError: 422 if the prompt cannot be followed, 507 if the GPU has no room.
    """
    frames = iter(reader)
    frame_pixels = reader.hw[0] * reader.hw[1]
    try:
        session = VideoSession(service.engine, prompt)
    except ValueError as error:
        raise ApiError(422, str(error)) from None
    try:
        for _ in range(service.settings.max_video_frames):
            async with service.worker.hold_place(group), service.pixels.hold(frame_pixels):
                frame = await service.run_in_thread(next, frames, None)
                if frame is None:
                    return
                result = await service.worker.run(_make_step(session, frame), group)
            del frame
            yield result  # outside: a client that reads slowly holds no place in the queue
    except GpuMemoryError as error:
        raise ApiError(507, str(error)) from None
    finally:
        await _close(service, frames)


def _make_step(session: VideoSession, frame: RgbImage) -> Callable[[Callable[[str], None]], Result]:
    return lambda check_step: session.step(frame, check_step)


async def _close(service: SegmentationService, frames: Iterator[RgbImage]) -> None:
    """Closes the file, in the threads that read it, also where the request was cancelled."""

    def close() -> None:
        # A thread may still be reading the frame that nobody waits for any more.
        with contextlib.suppress(ValueError):
            frames.close()  # type: ignore[attr-defined]

    await asyncio.shield(service.run_in_thread(close))
