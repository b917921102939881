"""Measures a folder of images and a video through Ikomia, with reading and writing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from .context import PHOTO, BenchmarkContext, draw_image
from .overhead import make_workflow, split_time
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

    segment_by_package = partial(
        context.segment_texts_by_package, texts=[TEXT], threshold=threshold
    )
    segment_by_package(next(context.images))  # a warm-up, as the next line
    context.segment_texts(next(context.images), [TEXT], threshold)
    theirs = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder) / f"{number:03}.{kind}"
            Image.fromarray(next(context.images)).save(path, **SAVE_OPTIONS[kind])
            theirs += time_call(partial(segment_by_package, np.array(Image.open(path))))
        # A workflow serves one folder: only its first run over one is reliable.
        workflow, task = make_workflow(context, input_text=TEXT, confidence_threshold=threshold)
        ours = split_time(task, lambda: workflow.run_on(folder=folder))
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
        path = str(Path(folder) / "video.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
        for seed in range(count):
            writer.write(cv2.cvtColor(draw_image(seed, VIDEO_HW), cv2.COLOR_RGB2BGR))
        writer.release()
        workflow, _ = make_workflow(context, input_text=TEXT, confidence_threshold=threshold)
        seconds = time_call(lambda: workflow.run_on(path=path))
    return Row(f"video of {count} frames, {width}×{height}, one text", count / seconds, "frames/s",
               note="decoding included")  # fmt: skip
