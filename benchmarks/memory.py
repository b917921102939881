"""Target 5: memory for a 24-megapixel image with 100 instances."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from .measuring import PeakMemory, seconds
from .rows import Row
from .start import run_python
from .subjects import Subjects, picture

LARGE_HW = (4000, 6000)
SMALL_HW = (800, 1200)
INSTANCES = 100
GIB = 1024**3


def rows(subjects: Subjects) -> Iterator[Row]:
    """Each in a process of its own, whose peak is its own."""
    del subjects
    ours, logits_only, package = (_measured(who) for who in ("engine", "masks", "package"))
    scale = (LARGE_HW[0] * LARGE_HW[1]) / (SMALL_HW[0] * SMALL_HW[1])
    note = (
        f"{ours['instances']} instances, masks handed out {ours['masks'] / GIB:.2f} GiB, "
        f"{ours['seconds']:.1f} s; package measured at {SMALL_HW[1]}×{SMALL_HW[0]} with "
        f"{package['instances']} instances and scaled by pixels and instances"
    )
    scaled = package["added"] * scale * INSTANCES / package["instances"]
    yield Row("5", f"peak above the masks handed out, {LARGE_HW[1]}×{LARGE_HW[0]}, tiny_shapes",
              ours["added"] / GIB, "GiB", scaled / GIB, "at most", 1.0, note=note)  # fmt: skip
    yield Row("5", "the same for full-size mask logits (288×288) of noise",
              logits_only["added"] / GIB, "GiB", None, "at most", 1.0,
              note=f"masks handed out {logits_only['masks'] / GIB:.2f} GiB, the worst case: "
              f"none can be cropped; {logits_only['seconds']:.1f} s")  # fmt: skip


def _measured(who: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run_python(["-m", __name__, who]).splitlines()[-1])
    return result


def by_engine() -> dict[str, Any]:
    """The engine's own route: four concepts of which every query passes."""
    from ..engine import ConceptPrompt, Engine

    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    everything = ConceptPrompt(("circle", "square", "star", "triangle"), confidence_threshold=0.0)
    engine.segment(picture(0, (100, 100)), everything)
    image = picture(1, LARGE_HW)
    kept: list[Any] = []
    peak = PeakMemory()
    elapsed = seconds(lambda: kept.extend(engine.segment(image, everything).instances))
    return _found(peak, [i.mask for i in kept], elapsed)


def by_masks(instances: int = INSTANCES) -> dict[str, Any]:
    """Mask logits of the real model's size, upsampled and thresholded."""
    import torch

    from ..engine.postprocess.masks import upscaled_probability_masks

    logits = torch.randn(instances, 288, 288, generator=torch.Generator().manual_seed(0))
    kept: list[Any] = []
    list(upscaled_probability_masks(logits[:1], (100, 100)))
    peak = PeakMemory()
    with torch.inference_mode():
        elapsed = seconds(lambda: kept.extend(upscaled_probability_masks(logits, LARGE_HW)))
    return _found(peak, kept, elapsed)


def by_package() -> dict[str, Any]:
    """``set_text_prompt`` with every query kept, at a size that fits most machines."""
    from ..engine import Engine
    from .subjects import Package

    engine = Engine.load("tiny_shapes", None, "cpu", "float32")
    package = Package(engine)
    package.text(package.encoded(picture(0, (100, 100))), "circle", 0.0)
    image = picture(1, SMALL_HW)
    peak = PeakMemory()
    state = package.encoded(image)
    elapsed = seconds(lambda: package.text(state, "circle", 0.0))
    masks = state["masks"]
    return {
        "added": peak.bytes - masks.nbytes,
        "instances": len(masks),
        "seconds": elapsed,
    }


def _found(peak: PeakMemory, masks: list[Any], elapsed: float) -> dict[str, Any]:
    handed_out = sum(mask.crop.nbytes for mask in masks)
    return {
        "added": peak.bytes - handed_out,
        "masks": handed_out,
        "instances": len(masks),
        "seconds": elapsed,
    }


if __name__ == "__main__":
    from ..engine.runtime.isolation import import_sam3

    import_sam3()
    print(
        json.dumps({"engine": by_engine, "masks": by_masks, "package": by_package}[sys.argv[1]]())
    )
