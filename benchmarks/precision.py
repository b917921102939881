"""Target 4: bfloat16 where the CPU multiplies it, and what that does to the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .measuring import in_turns
from .quality import agreement
from .rows import Row
from .subjects import Subjects, click

SCENES = 60


def rows(subjects: Subjects) -> Iterator[Row]:
    """Encoding in both precisions in turns, and agreement on the bundled model."""
    from ..engine import Engine

    auto = Engine.load("tiny_shapes", None, subjects.device, "auto").precision
    engines = [subjects.engine_in(p) for p in ("bfloat16", "float32")]
    rounds = 2 if subjects.is_full_size else subjects.repeats
    times = [
        min(times)
        for times in zip(
            *([encoding_seconds(e, subjects) for e in engines] for _ in range(rounds)), strict=True
        )
    ]
    yield Row("4", "encoding, bfloat16 against float32 (as \"package\")", times[0] * 1e3, "ms",
              times[1] * 1e3, "ratio" if auto == "bfloat16" else "none", 0.65,
              note=f"auto is {auto} here")  # fmt: skip
    yield _against_package(subjects, rounds)
    yield from quality_rows(subjects.device, SCENES)


def encoding_seconds(engine: Any, subjects: Subjects) -> float:
    """How long a new picture takes until it is encoded."""
    image = subjects.new_picture()
    steps: dict[str, float] = {}
    started = time.perf_counter()
    engine.segment(image, click(image), on_step=lambda s: steps.setdefault(s, time.perf_counter()))
    return steps["encode"] - started


def _against_package(subjects: Subjects, rounds: int) -> Row:
    images = [subjects.new_picture() for _ in range(rounds)]
    ours = [encoding_seconds(subjects.engine, subjects)]
    (package,) = in_turns([lambda i=i: subjects.package.encoded(i) for i in images])  # type: ignore[misc]
    ours.append(encoding_seconds(subjects.engine, subjects))
    return Row("4", "encoding against set_image, same precision", min(ours) * 1e3, "ms",
               package * 1e3, note=subjects.engine.precision)  # fmt: skip


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
