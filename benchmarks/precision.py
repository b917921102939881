"""Measures bfloat16 against float32: time of an encoding, difference of the instances."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Engine
from ..tools.tiny_shapes.heldout.agreement import THRESHOLD, compare_engines
from .context import BenchmarkContext, click, compare
from .table import Row

SCENES = 60


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows."""
    rounded, exact = (context.load_engine(precision) for precision in ("bfloat16", "float32"))
    auto = context.load_engine("auto").precision
    yield compare(
        "new image, click, bfloat16", context.take(context.images),
        lambda image: click(rounded, image), lambda image: click(exact, image),
        reference_name="float32", note=f"auto is {auto}",
        ratio_at_most=0.65 if context.is_full_size and auto == "bfloat16" else None,
    )  # fmt: skip
    exact, rounded = (
        Engine.load("tiny_shapes", device=context.device, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    found = compare_engines(exact, rounded, SCENES)
    note = f"{found.instances} instances of {SCENES} held-out scenes, tiny_shapes"
    yield Row("bfloat16 to float32: mean IoU", found.mean_iou, "", at_least=0.97, note=note)
    yield Row("bfloat16 to float32: 99th percentile of score differences",
              found.score_difference_p99, "", at_most=0.05)  # fmt: skip
    yield Row(f"bfloat16 to float32: share of instances that cross {THRESHOLD}",
              found.crossed / found.instances, "", at_most=0.01)  # fmt: skip
