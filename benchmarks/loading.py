"""Measures loading a checkpoint file against the package's own builder.

Each load is measured in a process of its own.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..engine import Engine
from ..engine.model.precision import Precision, resolve_precision
from ..engine.model.vocabulary import find_bpe_vocabulary
from ..tools.sam3_video_package import OnCpu
from .context import BenchmarkContext, click, draw_image
from .table import Row
from .timing import call_in_process, measure_peak, time_call


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows; none for the bundled model, which the package cannot build."""
    path, device = context.weight_file, context.device
    if path is None:
        return
    load = partial(call_in_process, load_by_engine)
    seconds, peak, (first, second) = load(path, device, context.precision, 2)
    theirs, their_peak = call_in_process(load_by_package, path, device)
    yield Row("checkpoint (.pt) to model", seconds, "s", theirs, ratio_at_most=0.25,
              note="each in a process of its own, the file in the system's cache")  # fmt: skip
    yield Row("peak memory of loading (.pt) / size of the file", peak, "", their_peak,
              at_most=1.1, note="mapped pages of the file count")  # fmt: skip
    yield Row("first image after loading (.pt)", first, "s", second, "second image",
              ratio_at_most=1.1,
              note=resolve_precision(context.precision, torch.device(device)))  # fmt: skip
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        converted = Path(folder) / "sam3.safetensors"
        save_file(torch.load(path, mmap=True, weights_only=True), converted)
        seconds, peak, _ = load(converted, device, context.precision, 0)
    yield Row("checkpoint (.safetensors) to model", seconds, "s", theirs,
              ratio_at_most=0.25, note="sam3 reads .pt only: its time for that")  # fmt: skip
    yield Row("peak memory of loading (.safetensors) / size of the file", peak, "", at_most=1.1)


def load_by_engine(
    path: Path, device: str, precision: Precision, images: int
) -> tuple[float, float, list[float]]:
    """Loads a checkpoint and clicks on some images.

    Returns:
        Seconds of loading, its peak memory in sizes of the file, seconds of each image.
    """
    size = _read_file(path)
    engine, seconds, peak = measure_peak(lambda: Engine.load("sam3", path, device, precision))
    clicks = [time_call(partial(click, engine, draw_image(seed))) for seed in range(images)]
    return seconds, peak / size, clicks


def load_by_package(path: Path, device: str) -> tuple[float, float]:
    """Loads a checkpoint by ``build_sam3_image_model``, as :func:`load_by_engine`."""
    from sam3.model_builder import build_sam3_image_model

    size = _read_file(path)
    with OnCpu() if device == "cpu" else contextlib.nullcontext():
        _, seconds, peak = measure_peak(
            lambda: build_sam3_image_model(
                bpe_path=find_bpe_vocabulary(),
                device=device,
                checkpoint_path=str(path),
                enable_inst_interactivity=True,
            )
        )
    return seconds, peak / size


def _read_file(path: Path) -> int:
    """Reads a file into the operating system's file cache; returns its size in bytes."""
    with path.open("rb") as file:
        while file.read(2**24):
            pass
    return path.stat().st_size
