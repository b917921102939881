"""Segments many images with one prompt: several of them share a pass of the image encoder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from .images import RgbImage
from .inference.image_encoder import ImageEncoder, check_rgb
from .inference.references import ReferencePrompts
from .prompts import ConceptPrompt, Prompt
from .results import Result
from .runtime.memory import BatchLimits, retry_on_oom


def segment_in_batches(
    images: Sequence[RgbImage],
    prompt: Prompt,
    input_size_percent: float,
    limits: BatchLimits,
    encoder: ImageEncoder,
    references: ReferencePrompts,
    segment: Callable[[RgbImage], Result],
) -> list[Result]:
    """Segments several images with one prompt; see :meth:`Engine.segment_batch`.

    Args:
        images: (H, W, 3) uint8, RGB, of any sizes.
        prompt: What ``segment`` asks.
        input_size_percent: Size at which ``segment`` encodes images.
        limits: How many images share a pass of the encoder.
        encoder: Encodes images into the cache from which ``segment`` takes them.
        references: Encodes the reference of ``prompt``.
        segment: Segments one image.

    Returns:
        One result for each image, in order.
    """
    for image in images:
        check_rgb(image)
    # No more than the cache holds until each of them is segmented.
    size = min(limits.images, encoder.cache.max_items)
    if size <= 1 or getattr(prompt, "tiles", 1) != 1:
        return [segment(image) for image in images]
    if images and isinstance(prompt, ConceptPrompt) and prompt.reference is not None:
        # Before the images, which fill the cache.
        encode_reference = functools.partial(references.encode, prompt, input_size_percent)
        retry_on_oom(encode_reference, limits, encoder.cache.clear)
    results: list[Result] = []
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        encode = functools.partial(encoder.encode_batch, chunk, input_size_percent)
        were_cached = retry_on_oom(encode, limits, encoder.cache.clear)
        # All of them are in the cache now.
        results += [
            dataclasses.replace(segment(image), image_was_cached=was_cached)
            for image, was_cached in zip(chunk, were_cached, strict=True)
        ]
    return results
