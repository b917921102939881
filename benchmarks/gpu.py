"""The same rows on a CUDA machine, and those that only a GPU has. Needs no Ikomia.

    python -m infer_segment_anything_3.benchmarks.gpu [--only prompts] [--out gpu.md]

``--device cpu --model tiny_shapes`` runs through all of it on any machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..engine.compilation import compile_image_encoder
from . import memory, once, precision, start, text
from .__main__ import PREFACE, subject_parser, subjects_of
from .folder import engine_rows as folder_rows
from .measuring import in_turns, machine, seconds
from .rows import Row, missed, table, write_section
from .subjects import PHOTO_HW, WANTED_INSTANCES, RgbImage, Subjects, click

SYNCHRONISING = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")
"""CUDA calls for which the host waits; a copy to or from pageable memory makes the first."""


def main() -> int:
    """Measures, prints, and writes with ``--out``."""
    options = _parser().parse_args()
    groups = options.only.split(",") if options.only else list(GROUPS)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        subjects = subjects_of(options, Path(folder))
        where = machine()
        everything: list[Row] = []
        for group in groups:
            for row in GROUPS[group](subjects):
                print(" | ".join(cell for cell in row.cells() if cell), flush=True)
                everything.append(row)
    print("\n" + table(everything))
    for row in missed(everything):
        print(f"missed: {row.target}, {row.what}")
    if options.out:
        heading = f"Target 8: {options.device}, {options.model}"
        body = f"{where}; {subjects.engine.precision}.\n\n{table(everything)}"
        write_section(options.out, PREFACE, heading, body)
    return 0


def prompt_rows(subjects: Subjects) -> Iterator[Row]:
    """From an RGB array nobody has seen to masks on the host, encoding included."""
    rounds = 2 if subjects.is_full_size and subjects.device == "cpu" else subjects.repeats
    yield _from_array(
        subjects, "a click", rounds,
        lambda image: subjects.engine.segment(image, click(image)),
        lambda image: subjects.package.click(subjects.package.encoded(image), image),
    )  # fmt: skip
    for count in (1, 4, 16):
        phrases = [subjects.new_phrase() for _ in range(count)]
        image = subjects.new_picture()
        state = subjects.package.encoded(image)
        threshold = max(subjects.package.threshold(state, p, WANTED_INSTANCES) for p in phrases)
        what = "a text" if count == 1 else f"{count} concepts"
        yield _from_array(
            subjects, what, rounds,
            lambda image, p=phrases, t=threshold: text.ask(subjects, image, p, t),  # type: ignore[misc]
            lambda image, p=phrases, t=threshold: _by_package(subjects, image, p, t),  # type: ignore[misc]
        )  # fmt: skip


def synchronisation_rows(subjects: Subjects) -> Iterator[Row]:
    """Waits of the host for the GPU in one prompt on an encoded image, by the profiler."""
    image, state = subjects.seen
    phrase, other = subjects.new_phrase(), subjects.new_phrase()
    threshold = subjects.package.threshold(state, phrase, WANTED_INSTANCES)
    # Texts are encoded once for all images: that is no part of a later prompt.
    text.ask(subjects, subjects.new_picture(), [phrase, other], threshold)
    text.ask(subjects, image, [other], threshold)
    prompts: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("a known text", lambda: text.ask(subjects, image, [phrase], threshold),
         lambda: subjects.package.text(state, phrase, threshold)),
        ("a click", lambda: subjects.engine.segment(image, click(image)),
         lambda: subjects.package.click(state, image)),
    ]  # fmt: skip
    for what, ours, package in prompts:
        note = "" if subjects.device == "cuda" else "a CPU is never waited for"
        yield Row("8", f"host synchronisations in {what}", waits(ours), "", waits(package),
                  "at most", 2, note=note)  # fmt: skip


def waits(call: Callable[[], object]) -> int:
    """How often the host waits for the GPU while it makes a call."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        call()
    return sum(event.name in SYNCHRONISING for event in profile.events())


def compiled_rows(subjects: Subjects) -> Iterator[Row]:
    """The image encoder through ``torch.compile``: last, since it stays compiled."""
    before = min(precision.encoding_seconds(subjects.engine, subjects) for _ in range(3))
    compile_image_encoder(subjects.engine)
    warm_up = seconds(lambda: precision.encoding_seconds(subjects.engine, subjects))
    rounds = [precision.encoding_seconds(subjects.engine, subjects) for _ in range(3)]
    yield Row("8", "encoding with torch.compile, against without (as \"package\")",
              min(rounds) * 1e3, "ms", before * 1e3, note=f"warm-up {warm_up:.1f} s")  # fmt: skip


def _from_array(
    subjects: Subjects,
    what: str,
    rounds: int,
    ours: Callable[[RgbImage], Any],
    package: Callable[[RgbImage], Any],
) -> Row:
    images = [subjects.new_picture() for _ in range(rounds + 1)]
    for warm in (ours, package):
        warm(images[-1])
    mine, theirs = in_turns(
        [lambda image=image: ours(image) for image in images[:-1]],  # type: ignore[misc]
        [lambda image=image: package(image) for image in images[:-1]],  # type: ignore[misc]
    )
    return Row("8", f"RGB array to masks on the host, {what}, {PHOTO_HW[1]}×{PHOTO_HW[0]}",
               mine * 1e3, "ms", theirs * 1e3, "ratio", 1.0)  # fmt: skip


def _by_package(subjects: Subjects, image: RgbImage, phrases: list[str], threshold: float) -> None:
    state = subjects.package.encoded(image)
    for phrase in phrases:
        subjects.package.text(state, phrase, threshold)


def _parser() -> argparse.ArgumentParser:
    parser = subject_parser(f"{__package__}.gpu", __doc__, "cuda", GROUPS)
    parser.add_argument("--out", type=Path, help="Markdown file to put the table into")
    return parser


GROUPS: dict[str, Callable[[Subjects], Iterator[Row]]] = {
    "start": start.loading_rows,
    "precision": precision.rows,
    "once": once.engine_rows,
    "text": text.rows,
    "folder": folder_rows,
    "memory": memory.rows,
    "prompts": prompt_rows,
    "synchronisations": synchronisation_rows,
    "compiled": compiled_rows,
}
"""What is measured, in order."""

if __name__ == "__main__":
    sys.exit(main())
