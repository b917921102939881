"""Target 7: a folder of pictures and a video, read, segmented and written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from . import text
from .measuring import seconds
from .rows import Row
from .subjects import PHOTO_HW, WANTED_INSTANCES, RgbImage, Subjects

if TYPE_CHECKING:
    from .workflows import Asked

VIDEO_HW = (360, 640)
SAVED_AS: dict[str, dict[str, Any]] = {"png": {"compress_level": 1}, "jpg": {"quality": 95}}


def engine_rows(subjects: Subjects) -> Iterator[Row]:
    """Pictures one after the other through the engine alone."""
    count = 5 if subjects.is_full_size and subjects.device == "cpu" else 50
    images = [subjects.new_picture() for _ in range(count)]
    phrase = "circle"
    threshold = _threshold(subjects, phrase)
    text.ask(subjects, subjects.new_picture(), [phrase], threshold)
    ours = bare = 0.0
    for image in images:
        ours += seconds(lambda image=image: text.ask(subjects, image, [phrase], threshold))  # type: ignore[misc]
        bare += seconds(lambda image=image: _bare(subjects, image, phrase, threshold))  # type: ignore[misc]
    yield Row("7", f"{count} pictures in a row, {PHOTO_HW[1]}×{PHOTO_HW[0]}, one text, the engine "
              "alone", ours, "s", bare, "ratio", 1.05)  # fmt: skip


def rows(subjects: Subjects) -> Iterator[Row]:
    """Folders through Ikomia against the package's calls on the same pictures, in memory."""
    from .workflows import new_workflow

    phrase = "circle"
    threshold = _threshold(subjects, phrase)

    def asked() -> Asked:
        # Only a workflow's first run over a folder is reliable.
        return new_workflow(subjects, input_text=phrase, confidence_threshold=threshold)

    for kind in ("png",) if subjects.is_full_size else ("png", "jpg"):
        yield _folder(subjects, asked(), kind, phrase, threshold)
    yield _video(subjects, asked())


def _threshold(subjects: Subjects, phrase: str) -> float:
    """The usual one; random weights need one of their own."""
    if not subjects.is_full_size:
        return 0.5
    return subjects.package.threshold(subjects.seen[1], phrase, WANTED_INSTANCES)


def _folder(subjects: Subjects, asked: Asked, kind: str, phrase: str, threshold: float) -> Row:
    from .overhead import parts_of

    count = 5 if subjects.is_full_size else 50
    bare = 0.0
    # Whoever runs first would pay for what is set up once.
    _bare(subjects, subjects.new_picture(), phrase, threshold)
    text.ask(subjects, subjects.new_picture(), [phrase], threshold)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder) / f"{number:03}.{kind}"
            Image.fromarray(subjects.new_picture()).save(path, **SAVED_AS[kind])
            image = np.array(Image.open(path))
            bare += seconds(lambda image=image: _bare(subjects, image, phrase, threshold))  # type: ignore[misc]
        before = subjects.engine.encodings
        ours = parts_of(asked, lambda: asked.workflow.run_on(folder=folder))
        encodings = subjects.engine.encodings - before
    assert encodings == count, f"{encodings} of {count} pictures were encoded"
    return Row("7", f"folder of {count} pictures, {kind}, {PHOTO_HW[1]}×{PHOTO_HW[0]}, one text",
               ours["total"], "s", bare, "ratio", 1.05,
               note="decoding and writing included; against set_image and set_text_prompt of "
               f"pictures in memory; the engine takes {ours['engine']:.1f} s, Ikomia "
               f"{ours['ikomia']:.1f} s")  # fmt: skip


def _video(subjects: Subjects, asked: Asked) -> Row:
    """A video of frames that all differ, every one of which is encoded."""
    import cv2

    count = 3 if subjects.is_full_size else 50
    height, width = VIDEO_HW
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
        for _ in range(count):
            writer.write(cv2.cvtColor(subjects.new_picture(VIDEO_HW), cv2.COLOR_RGB2BGR))
        writer.release()
        elapsed = seconds(lambda: asked.workflow.run_on(path=str(path)))
    return Row("7", f"video of {count} frames, {width}×{height}, one text", count / elapsed,
               "frames/s", note="decoding included")  # fmt: skip


def _bare(subjects: Subjects, image: RgbImage, phrase: str, threshold: float) -> None:
    subjects.package.text(subjects.package.encoded(image), phrase, threshold)
