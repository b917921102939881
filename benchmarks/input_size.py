"""Measures smaller sides of the model's input, and boxes without masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..engine import ConceptPrompt, Engine
from ..engine.checkpoints.zoo import MODELS
from .context import BenchmarkContext, RgbImage, make_click
from .table import Row
from .timing import time_interleaved

AT_MOST = {672: 0.45, 336: 0.15}
"""Limits of an encoding's time at full size, as shares of that at 1008."""


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: encoding, text and click at each size, in turns."""
    sizes = MODELS[context.model_name].input_sizes
    engines = [
        Engine.load(
            context.model_name, context.weight_file, context.device, context.precision, size
        )
        for size in sizes
    ]
    rounds = range(context.slow_repeats)
    images = [[context.draw_new_image() for _ in rounds] for _ in engines]
    encodings = time_interleaved(
        *(
            [lambda e=e, i=i: e.segment(i, make_click(i)) for i in each]  # type: ignore[misc]
            for e, each in zip(engines, images, strict=True)
        )
    )
    prompts = [ConceptPrompt((context.get_new_text(),)) for _ in rounds]
    texts = time_interleaved(
        *(
            [lambda e=e, i=each[-1], p=p: e.segment(i, p) for p in prompts]  # type: ignore[misc]
            for e, each in zip(engines, images, strict=True)
        )
    )
    clicks = time_interleaved(
        *(
            [lambda e=e, i=each[-1]: e.segment(i, make_click(i))] * context.repeats  # type: ignore[misc]
            for e, each in zip(engines, images, strict=True)
        )
    )
    for what, times in (("new image, click", encodings), ("new text", texts), ("click", clicks)):
        for size, seconds in zip(sizes[1:], times[1:], strict=True):
            limit = AT_MOST.get(size) if times is encodings and context.is_full_size else None
            yield Row(f"{what}, input_size {size}", seconds * 1e3, "ms", times[0] * 1e3,
                      str(sizes[0]), ratio_at_most=limit)  # fmt: skip
    for size, engine in zip(sizes, engines, strict=True):
        held = engine.image_cache.nbytes / max(1, len(engine.image_cache))
        yield Row(f"an encoded image in the cache, input_size {size}", held / 2**20, "MiB")
    yield measure_boxes(context, engines[0], images[0][-1])


def measure_boxes(context: BenchmarkContext, engine: Engine, image: RgbImage) -> Row:
    """Times a new text with ``masks`` off and on, on an encoded image."""
    rounds = range(max(2, context.slow_repeats))

    def ask(masks: bool) -> Callable[[], object]:
        # A low threshold, so that the mask head always runs.
        prompt = ConceptPrompt((context.get_new_text(),), confidence_threshold=0.001)
        return lambda: engine.segment(image, prompt, masks=masks)

    boxes, full = time_interleaved(*([ask(masks) for _ in rounds] for masks in (False, True)))
    return Row("new text, boxes only", boxes * 1e3, "ms", full * 1e3, "with masks")
