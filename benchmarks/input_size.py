"""Measures smaller sides of the model's input, and boxes without masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..engine import ConceptPrompt
from ..engine.checkpoints.zoo import MODELS
from .context import BenchmarkContext, click, compare
from .table import Row
from .timing import measure_gpu_peak, time_in_turns

AT_MOST = {672: 0.45, 336: 0.15}
"""Limits of an encoding's time at full size, as shares of that at 1008."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: encoding, text and click at each size, in turns."""
    sizes = MODELS[context.model_name].input_sizes
    engines = [context.load_engine(context.precision, size) for size in sizes]
    known = next(context.images)
    limits = AT_MOST if context.is_full_size else {}
    calls: dict[str, tuple[Any, Callable[..., object]]] = {
        "new image, click": ([*context.take(context.images), known], click),
        "new text": (
            context.take(context.texts), lambda e, text: e.segment(known, ConceptPrompt((text,)))
        ),
        "click": (range(context.repeats), lambda e, _: click(e, known)),
    }  # fmt: skip
    for what, (inputs, call) in calls.items():
        full, *times = time_in_turns(inputs, *(partial(call, engine) for engine in engines))
        for size, measured in zip(sizes[1:], times, strict=True):
            yield Row(f"{what}, input_size {size}", measured, "ms", full, str(sizes[0]),
                      ratio_at_most=limits.get(size) if "image" in what else None)  # fmt: skip
    for size, engine in zip(sizes, engines, strict=True):
        held = engine.image_cache.nbytes / max(1, len(engine.image_cache))
        yield Row(f"an encoded image in the cache, input_size {size}", held / 2**20, "MiB")
        if context.device == "cuda":
            peak = measure_gpu_peak(partial(click, engine, next(context.images)))
            yield Row(f"new image, click, input_size {size}: peak allocated above the weights",
                      peak / 2**20, "MiB")  # fmt: skip

    def segment_new_text(masks: bool, _: object) -> None:
        # A low threshold, so that the mask head always runs.
        prompt = ConceptPrompt((next(context.texts),), confidence_threshold=0.001)
        engines[0].segment(known, prompt, masks=masks)

    yield compare("new text, boxes only", range(max(2, context.slow_repeats)),
                  partial(segment_new_text, False), partial(segment_new_text, True),
                  reference_name="with masks")  # fmt: skip
