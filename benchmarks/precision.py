"""Target 4: bfloat16 where the CPU multiplies it, and what that does to the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .measuring import seconds, wait_for
from .quality import agreement
from .rows import Row
from .subjects import RgbImage, Subjects, click

SCENES = 60


def rows(subjects: Subjects) -> Iterator[Row]:
    """Encoding in both precisions and by the package in turns, and agreement of the two."""
    bfloat16, float32 = (subjects.engine_in(p) for p in ("bfloat16", "float32"))
    auto = subjects.engine_in("auto").precision
    rounds = range(min(2, subjects.repeats) if subjects.is_full_size else subjects.repeats)
    times: dict[str, list[float]] = {"bfloat16": [], "float32": [], "package": []}
    for _ in rounds:
        times["bfloat16"].append(encoding_seconds(bfloat16, subjects))
        times["float32"].append(encoding_seconds(float32, subjects))
        image = subjects.new_picture()
        times["package"].append(seconds(lambda image=image: _by_package(subjects, image)))  # type: ignore[misc]
    best = {name: min(each) * 1e3 for name, each in times.items()}
    is_held = subjects.is_full_size and auto == "bfloat16"
    yield Row("4", 'encoding, bfloat16 against float32 (as "package")', best["bfloat16"], "ms",
              best["float32"], "ratio" if is_held else "none", 0.65,
              note=f"auto is {auto} here")  # fmt: skip
    own = subjects.engine.precision
    yield Row("4", f"encoding against set_image, {own}", best[own], "ms", best["package"])
    yield from quality_rows(subjects.device, SCENES)


def encoding_seconds(engine: Any, subjects: Subjects) -> float:
    """How long a new picture takes until it is encoded."""
    image = subjects.new_picture()
    steps: dict[str, float] = {}

    def note(step: str) -> None:
        wait_for(subjects.device)
        steps.setdefault(step, time.perf_counter())

    wait_for(subjects.device)
    started = time.perf_counter()
    engine.segment(image, click(image), on_step=note)
    return steps["encode"] - started


def _by_package(subjects: Subjects, image: RgbImage) -> None:
    subjects.package.encoded(image)
    wait_for(subjects.device)


def quality_rows(device: str, scenes: int) -> Iterator[Row]:
    """Agreement of the two precisions on the bundled model."""
    from ..engine import Engine

    exact, rounded = (Engine.load("tiny_shapes", None, device, p) for p in ("float32", "bfloat16"))
    found = agreement(exact, rounded, scenes)
    note = f"{len(found.ious)} instances of {scenes} held-out scenes, tiny_shapes"
    yield Row("4", "bfloat16 against float32: mean IoU", found.mean_iou, "", None, "at least",
              0.97, note=note)  # fmt: skip
    yield Row("4", "bfloat16 against float32: 99th percentile of score differences",
              found.score_difference_p99, "", None, "at most", 0.05)  # fmt: skip
    yield Row("4", "bfloat16 against float32: share of instances that cross 0.5",
              found.crossed_share, "", None, "at most", 0.01)  # fmt: skip
