"""Measures a folder of images and a video through Ikomia, with reading and writing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from .context import PHOTO, BenchmarkContext
from .overhead import TaskRunner, split_time
from .table import Row
from .timing import time_call

TEXT = "circle"
VIDEO_HW = (360, 640)
SAVE_OPTIONS: dict[str, dict[str, Any]] = {"png": {"compress_level": 1}, "jpg": {"quality": 95}}


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    threshold = context.find_threshold(TEXT) if context.is_full_size else 0.5
    for kind in ("png",) if context.is_slow else ("png", "jpg"):
        yield _measure_folder(context, kind, threshold)
    yield _measure_video(context, threshold)


def _measure_folder(context: BenchmarkContext, kind: str, threshold: float) -> Row:
    """Measures a folder through Ikomia against the package on the same images in memory."""
    count = 5 if context.is_slow else 50
    package = context.package
    context.segment_texts(context.draw_new_image(), [TEXT], threshold)
    theirs = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count + 1):
            path = Path(folder) / f"{number:03}.{kind}"
            Image.fromarray(context.draw_new_image()).save(path, **SAVE_OPTIONS[kind])
            image = np.array(Image.open(path))
            seconds = time_call(
                lambda i=image: package.segment_concept(package.encode(i), TEXT, threshold)  # type: ignore[misc]
            )
            if number:
                theirs += seconds
            else:  # a warm-up
                path.unlink()
        # A workflow serves one folder: only its first run over one is reliable.
        runner = TaskRunner(context, input_text=TEXT, confidence_threshold=threshold)
        ours = split_time(runner, lambda: runner.workflow.run_on(folder=folder))
    return Row(
        f"folder of {count} images ({kind}, {PHOTO}), one text", ours["total"], "s", theirs,
        "sam3 on arrays", ratio_at_most=1.05,
        note=f"reading and writing included; engine {ours['engine']:.1f} s, "
        f"Ikomia {ours['ikomia']:.1f} s",
    )  # fmt: skip


def _measure_video(context: BenchmarkContext, threshold: float) -> Row:
    """Measures a video whose frames all differ, so that each one is encoded."""
    count = 3 if context.is_slow else 50
    height, width = VIDEO_HW
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
        for _ in range(count):
            writer.write(cv2.cvtColor(context.draw_new_image(VIDEO_HW), cv2.COLOR_RGB2BGR))
        writer.release()
        runner = TaskRunner(context, input_text=TEXT, confidence_threshold=threshold)
        seconds = time_call(lambda: runner.workflow.run_on(path=str(path)))
    return Row(f"video of {count} frames, {width}×{height}, one text", count / seconds, "frames/s",
               note="decoding included")  # fmt: skip
