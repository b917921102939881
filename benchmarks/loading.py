"""Loads a checkpoint once, in the process that runs this module, and prints what it cost.

python -m infer_segment_anything_3.benchmarks.loading WHO FILE DEVICE PRECISION
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..engine.model.precision import Precision
from ..engine.model.vocabulary import find_bpe_vocabulary
from ..engine.runtime.isolation import import_sam3
from .measuring import PeakMemory, seconds
from .subjects import click, picture


class _CudaIsCpu(TorchFunctionMode):
    """Sends to the CPU what the package's builder allocates on ``"cuda"`` on every machine."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") == "cuda":
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def load_by_package(path: Path, device: str) -> Any:
    """``build_sam3_image_model`` with a checkpoint and the interactive part."""
    from sam3.model_builder import build_sam3_image_model

    arguments = {
        "bpe_path": find_bpe_vocabulary(),
        "device": device,
        "checkpoint_path": str(path),
        "enable_inst_interactivity": True,
    }
    if device != "cpu":
        return build_sam3_image_model(**arguments)
    with _CudaIsCpu():
        return build_sam3_image_model(**arguments)


def main(who: str, path: str, device: str, precision: Precision) -> None:
    """Prints JSON: seconds, peak bytes, and for us the seconds of two encodings."""
    # Not part of what is measured.
    import_sam3()
    import sam3.model_builder  # noqa: F401

    from ..engine import Engine
    from ..engine import engine as _  # noqa: F401

    peak = PeakMemory()
    started = time.perf_counter()
    if who == "package":
        model = load_by_package(Path(path), device)
    else:
        engine = Engine.load("sam3", path, device, precision)
        model = engine.model
    if device == "cuda":
        torch.cuda.synchronize()
    measured: dict[str, Any] = {"seconds": time.perf_counter() - started, "peak": peak.bytes}
    assert next(model.parameters()).device.type == device
    if who == "ours":
        for name, seed in (("first", 1), ("second", 2)):
            image = picture(seed)
            measured[name] = seconds(lambda image=image: engine.segment(image, click(image)))  # type: ignore[misc]
        measured["precision"] = engine.precision
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
