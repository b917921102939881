"""Measures loading a checkpoint file against the package's own builder.

Each load is measured in a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .context import BenchmarkContext, draw_image, make_click
from .table import Row
from .timing import PeakMemory, call_in_process, synchronize, time_call


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows; none for the bundled model, which the package cannot build."""
    path = context.weight_file
    if path is None:
        return
    ours, theirs = (_load_in_process(context, who, path) for who in ("engine", "package"))
    size = path.stat().st_size
    yield Row(
        "checkpoint (.pt) to model", ours["seconds"], "s", theirs["seconds"], ratio_at_most=0.25,
        note="each in a process of its own, the file in the system's cache",
    )  # fmt: skip
    yield Row(
        "peak memory of loading (.pt) / size of the file", ours["peak"] / size, "",
        theirs["peak"] / size, at_most=1.1, note="mapped pages of the file count",
    )  # fmt: skip
    yield Row(
        "first image after loading (.pt)", ours["first"], "s", ours["second"], "second image",
        ratio_at_most=1.1, note=ours["precision"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        converted = _convert_to_safetensors(path, Path(folder) / "sam3.safetensors")
        ours = _load_in_process(context, "engine", converted)
        size = converted.stat().st_size
    yield Row(
        "checkpoint (.safetensors) to model", ours["seconds"], "s", theirs["seconds"],
        ratio_at_most=0.25, note="sam3 reads .pt only: its time for that",
    )  # fmt: skip
    yield Row(
        "peak memory of loading (.safetensors) / size of the file", ours["peak"] / size, "",
        at_most=1.1,
    )  # fmt: skip


def _convert_to_safetensors(source: Path, target: Path) -> Path:
    import torch
    from safetensors.torch import save_file

    save_file(torch.load(source, mmap=True, weights_only=True), target)
    return target


def _load_in_process(context: BenchmarkContext, who: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:  # into the system's cache
        while file.read(2**24):
            pass
    return call_in_process(load_once, who, str(path), context.device, context.precision)


def _build_by_package(path: Path, device: str) -> Any:
    """Calls ``build_sam3_image_model`` with a checkpoint and the interactive part."""
    import torch
    from sam3.model_builder import build_sam3_image_model
    from torch.overrides import TorchFunctionMode

    from ..engine.model.vocabulary import find_bpe_vocabulary

    class AllocateOnDevice(TorchFunctionMode):
        """Sends to ``device`` what the builder allocates on ``"cuda"`` on every machine."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if kwargs.get("device") == "cuda":
                kwargs["device"] = torch.device(device)
            return func(*args, **kwargs)

    with AllocateOnDevice():
        return build_sam3_image_model(
            bpe_path=find_bpe_vocabulary(),
            device=device,
            checkpoint_path=str(path),
            enable_inst_interactivity=True,
        )


def load_once(who: str, path: str, device: str, precision: Any) -> dict[str, Any]:
    """Loads a checkpoint by the engine or the package; returns seconds and peak bytes."""
    # Imports are not part of what is measured.
    import sam3.model_builder  # noqa: F401

    from ..engine import Engine

    peak = PeakMemory()
    started = time.perf_counter()
    if who == "package":
        _build_by_package(Path(path), device)
    else:
        engine = Engine.load("sam3", path, device, precision)
    synchronize()
    measured: dict[str, Any] = {"seconds": time.perf_counter() - started, "peak": peak.bytes}
    if who == "engine":
        for name, seed in (("first", 1), ("second", 2)):
            image = draw_image(seed)
            measured[name] = time_call(lambda i=image: engine.segment(i, make_click(i)))  # type: ignore[misc]
        measured["precision"] = engine.precision
    return measured
