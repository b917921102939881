"""Target 7: a folder of pictures, read, segmented and written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from .measuring import seconds
from .rows import Row
from .subjects import PHOTO_HW, WANTED_INSTANCES, RgbImage, Subjects


def engine_rows(subjects: Subjects) -> Iterator[Row]:
    """Pictures one after the other through the engine alone."""
    from . import text

    count = 5 if subjects.is_full_size and subjects.device == "cpu" else 50
    images = [subjects.new_picture() for _ in range(count)]
    phrase = "circle"
    threshold = subjects.package.threshold(subjects.seen[1], phrase, WANTED_INSTANCES)
    text.ask(subjects, subjects.new_picture(), [phrase], threshold)
    ours = bare = 0.0
    for image in images:
        ours += seconds(lambda image=image: text.ask(subjects, image, [phrase], threshold))  # type: ignore[misc]
        bare += seconds(lambda image=image: _bare(subjects, image, phrase, threshold))  # type: ignore[misc]
    yield Row("7", f"{count} pictures in a row, {PHOTO_HW[1]}×{PHOTO_HW[0]}, one text, the engine "
              "alone", ours, "s", bare, "ratio", 1.05)  # fmt: skip


def rows(subjects: Subjects) -> Iterator[Row]:
    """A folder through Ikomia against the package's calls on the same pictures, in memory."""
    from .workflows import new_workflow

    count = 5 if subjects.is_full_size else 50
    phrase = "circle"
    images = [subjects.new_picture() for _ in range(count)]
    threshold = subjects.package.threshold(subjects.seen[1], phrase, WANTED_INSTANCES)
    bare = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            Image.fromarray(image).save(Path(folder) / f"{number:03}.png", compress_level=1)
            bare += seconds(lambda image=image: _bare(subjects, image, phrase, threshold))  # type: ignore[misc]
        asked = new_workflow(subjects, input_text=phrase, confidence_threshold=threshold)
        before = subjects.engine.encodings
        ours = seconds(lambda: asked.workflow.run_on(folder=folder))
        encodings = subjects.engine.encodings - before
    assert encodings == count, f"{encodings} of {count} pictures were encoded"
    yield Row("7", f"folder of {count} pictures, {PHOTO_HW[1]}×{PHOTO_HW[0]}, one text", ours, "s",
              bare, "ratio", 1.05,
              note="decoding and writing included; against set_image and set_text_prompt of "
              "pictures in memory")  # fmt: skip


def _bare(subjects: Subjects, image: RgbImage, phrase: str, threshold: float) -> None:
    subjects.package.text(subjects.package.encoded(image), phrase, threshold)
