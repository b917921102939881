"""Measures the peak memory of a run on a 24-megapixel image with 100 instances.

Each is measured in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from ..engine import ConceptPrompt, Engine
from ..engine.postprocess.masks import upscale_probability_masks
from ..tools.sam3_package import Sam3Package
from .context import BenchmarkContext, draw_image
from .table import Row
from .timing import GIB, call_in_process, measure_peak

LARGE_HW = (4000, 6000)
SMALL_HW = (800, 1200)
INSTANCES = 100


class MaskMemory(NamedTuple):
    """Holds the bytes of the masks returned, and of the peak above them."""

    instances: int
    masks: int
    added: float
    seconds: float


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows; on the CPU, with the bundled model."""
    del context
    ours, noise, package = map(call_in_process, (run_engine, run_upscaling, run_package))
    scale = LARGE_HW[0] * LARGE_HW[1] / (SMALL_HW[0] * SMALL_HW[1])
    theirs = package.added * scale * INSTANCES / package.instances
    yield Row(
        f"peak above the masks returned, {LARGE_HW[1]}×{LARGE_HW[0]}, {INSTANCES} instances",
        ours.added / GIB, "GiB", theirs / GIB, at_most=1.0,
        note=f"tiny_shapes; masks {ours.masks / GIB:.2f} GiB, {ours.seconds:.1f} s; sam3 "
        f"measured at {SMALL_HW[1]}×{SMALL_HW[0]} with {package.instances} instances, scaled",
    )  # fmt: skip
    yield Row(
        "peak above the masks returned, 288×288 mask logits of noise", noise.added / GIB, "GiB",
        at_most=1.0, note="the worst case: no mask can be cropped; "
        f"masks {noise.masks / GIB:.2f} GiB, {noise.seconds:.1f} s",
    )  # fmt: skip


def run_engine() -> MaskMemory:
    """Segments four concepts of which every query passes."""
    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    prompt = ConceptPrompt(("circle", "square", "star", "triangle"), confidence_threshold=0.0)
    engine.segment(draw_image(0, (100, 100)), prompt)
    image = draw_image(1, LARGE_HW)
    return _measure(lambda: [i.mask.crop for i in engine.segment(image, prompt).instances])


def run_upscaling(instances: int = INSTANCES) -> MaskMemory:
    """Upscales and thresholds mask logits of the real model's size."""
    logits = torch.randn(instances, 288, 288, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        list(upscale_probability_masks(logits[:1], (100, 100)))
        return _measure(lambda: [m.crop for m in upscale_probability_masks(logits, LARGE_HW)])


def run_package() -> MaskMemory:
    """Calls ``set_text_prompt`` with every query kept, at a size that fits most machines."""
    package = Sam3Package(Engine.load("tiny_shapes", None, "cpu", "float32"))
    package.segment_concept(package.encode(draw_image(0, (100, 100))), "circle", 0.0)
    image = draw_image(1, SMALL_HW)
    return _measure(
        lambda: package.segment_concept(package.encode(image), "circle", 0.0)["masks"].numpy()
    )


def _measure(segment: Callable[[], Sequence[Any]]) -> MaskMemory:
    masks, seconds, added = measure_peak(segment)
    size = sum(mask.nbytes for mask in masks)
    return MaskMemory(len(masks), size, added - size, seconds)
