"""Segments many images with one prompt: several of them share a pass of the image encoder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .inference.image_encoder import RgbImage, check_rgb
from .prompts import ConceptPrompt, Prompt
from .results import Result
from .runtime.steps import StepCallback

if TYPE_CHECKING:
    from .engine import Engine


def segment_in_batches(
    engine: Engine,
    images: Sequence[RgbImage],
    prompt: Prompt,
    input_size_percent: float,
    on_step: StepCallback,
    masks: bool,
) -> list[Result]:
    """Segments several images with one prompt; see :meth:`Engine.segment_batch`."""
    for image in images:
        check_rgb(image)
    segment = functools.partial(
        engine.segment,
        prompt=prompt,
        input_size_percent=input_size_percent,
        on_step=on_step,
        masks=masks,
    )
    # No more than the cache holds until each of them is segmented.
    size = min(engine.limits.images, engine.image_cache.max_items)
    if size <= 1 or getattr(prompt, "tiles", 1) != 1:
        return [segment(image) for image in images]
    if images and isinstance(prompt, ConceptPrompt) and prompt.reference is not None:
        # Before the images, which fill the cache.
        engine.retry_on_oom(functools.partial(engine.references.encode, prompt, input_size_percent))
    results: list[Result] = []
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        were_cached = engine.retry_on_oom(
            functools.partial(engine.encoder.encode_batch, chunk, input_size_percent)
        )
        # All of them are in the cache now.
        results += [
            dataclasses.replace(segment(image), image_was_cached=was_cached)
            for image, was_cached in zip(chunk, were_cached, strict=True)
        ]
    return results
