"""Measures the peak memory of a run on a 24-megapixel image with 100 instances.

Each is measured in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .context import BenchmarkContext, draw_image
from .table import Row
from .timing import PeakMemory, call_in_process, time_call

LARGE_HW = (4000, 6000)
SMALL_HW = (800, 1200)
INSTANCES = 100
GIB = 1024**3


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows; on the CPU, with the bundled model."""
    del context
    ours, noise, package = map(call_in_process, (run_engine, run_upscaling, run_package))
    scale = LARGE_HW[0] * LARGE_HW[1] / (SMALL_HW[0] * SMALL_HW[1])
    theirs = package["added"] * scale * INSTANCES / package["instances"]
    yield Row(
        f"peak above the masks returned, {LARGE_HW[1]}×{LARGE_HW[0]}, {INSTANCES} instances",
        ours["added"] / GIB, "GiB", theirs / GIB, at_most=1.0,
        note=f"tiny_shapes; masks {ours['masks'] / GIB:.2f} GiB, {ours['seconds']:.1f} s; sam3 "
        f"measured at {SMALL_HW[1]}×{SMALL_HW[0]} with {package['instances']} instances, scaled",
    )  # fmt: skip
    yield Row(
        "peak above the masks returned, 288×288 mask logits of noise", noise["added"] / GIB, "GiB",
        at_most=1.0,
        note=f"the worst case: no mask can be cropped; masks {noise['masks'] / GIB:.2f} GiB, "
        f"{noise['seconds']:.1f} s",
    )  # fmt: skip


def run_engine() -> dict[str, Any]:
    """Segments four concepts of which every query passes."""
    from ..engine import ConceptPrompt, Engine

    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    prompt = ConceptPrompt(("circle", "square", "star", "triangle"), confidence_threshold=0.0)
    engine.segment(draw_image(0, (100, 100)), prompt)
    image = draw_image(1, LARGE_HW)
    kept: list[Any] = []
    peak = PeakMemory()
    seconds = time_call(lambda: kept.extend(engine.segment(image, prompt).instances))
    return _describe(peak, [i.mask.crop for i in kept], seconds)


def run_upscaling(instances: int = INSTANCES) -> dict[str, Any]:
    """Upscales and thresholds mask logits of the real model's size."""
    import torch

    from ..engine.postprocess.masks import upscale_probability_masks

    logits = torch.randn(instances, 288, 288, generator=torch.Generator().manual_seed(0))
    kept: list[Any] = []
    list(upscale_probability_masks(logits[:1], (100, 100)))
    peak = PeakMemory()
    with torch.inference_mode():
        seconds = time_call(lambda: kept.extend(upscale_probability_masks(logits, LARGE_HW)))
    return _describe(peak, [mask.crop for mask in kept], seconds)


def run_package() -> dict[str, Any]:
    """Calls ``set_text_prompt`` with every query kept, at a size that fits most machines."""
    from ..engine import Engine
    from ..tools.sam3_package import Sam3Package

    package = Sam3Package(Engine.load("tiny_shapes", None, "cpu", "float32"))
    package.segment_concept(package.encode(draw_image(0, (100, 100))), "circle", 0.0)
    image = draw_image(1, SMALL_HW)
    kept: dict[str, Any] = {}
    peak = PeakMemory()
    seconds = time_call(
        lambda: kept.update(package.segment_concept(package.encode(image), "circle", 0.0))
    )
    return _describe(peak, kept["masks"].numpy(), seconds)


def _describe(peak: PeakMemory, masks: Sequence[Any], seconds: float) -> dict[str, Any]:
    returned = sum(mask.nbytes for mask in masks)
    return {
        "added": peak.bytes - returned,
        "masks": returned,
        "instances": len(masks),
        "seconds": seconds,
    }
