"""Measures smaller sides of the model's input, and boxes without masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..engine import ConceptPrompt, Engine
from ..engine.checkpoints.zoo import MODELS
from .context import BenchmarkContext, T, compare, make_click
from .table import Row
from .timing import time_in_turns

AT_MOST = {672: 0.45, 336: 0.15}
"""Limits of an encoding's time at full size, as shares of that at 1008."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: encoding, text and click at each size, in turns."""
    sizes = MODELS[context.model_name].input_sizes
    engines = [context.load_engine(context.precision, size) for size in sizes]
    known = context.draw_new_image()

    def ask_each(inputs: Iterable[T], ask: Callable[[Engine, T], object]) -> list[float]:
        return time_in_turns(inputs, *(partial(ask, engine) for engine in engines))

    asked: dict[str, list[float]] = {
        "new image, click": ask_each(
            [*context.draw_new_images(), known],
            lambda e, image: e.segment(image, make_click(image)),
        ),
        "new text": ask_each(
            context.get_new_texts(), lambda e, text: e.segment(known, ConceptPrompt((text,)))
        ),
        "click": ask_each(range(context.repeats), lambda e, _: e.segment(known, make_click(known))),
    }
    for what, times in asked.items():
        for size, measured in zip(sizes[1:], times[1:], strict=True):
            is_limited = what == "new image, click" and context.is_full_size
            yield Row(f"{what}, input_size {size}", measured, "ms", times[0], str(sizes[0]),
                      ratio_at_most=AT_MOST.get(size) if is_limited else None)  # fmt: skip
    for size, engine in zip(sizes, engines, strict=True):
        held = engine.image_cache.nbytes / max(1, len(engine.image_cache))
        yield Row(f"an encoded image in the cache, input_size {size}", held / 2**20, "MiB")

    def ask_new_text(masks: bool) -> None:
        # A low threshold, so that the mask head always runs.
        prompt = ConceptPrompt((context.get_new_text(),), confidence_threshold=0.001)
        engines[0].segment(known, prompt, masks=masks)

    yield compare(
        "new text, boxes only", range(max(2, context.slow_repeats)),
        lambda _: ask_new_text(False), lambda _: ask_new_text(True), reference_name="with masks",
    )  # fmt: skip
