"""Measures a training step on an encoded image: time, and the peak of memory.

With random weights, at side 336 (full size) and, on a GPU, at the model's own.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from ..engine.checkpoints.zoo import MODELS
from ..engine.model.config import Architecture
from ..tools.random_weights import build_random_model
from ..training.features import encode_trunk
from ..training.losses import Targets
from ..training.optimizer import has_fast_bfloat16
from ..training.options import LORA_SCALE, RECIPES
from ..training.parts import AdaptedModel
from ..training.prompts import Answer, Item, TrainingImage, collate
from ..training.task import ConceptTask
from .context import BenchmarkContext
from .table import Row
from .timing import GIB, measure_gpu_peak

OBJECTS = 3
SMALLEST = -1


def measure(context: BenchmarkContext) -> Iterator[Row]:
    """Yields the rows: encoding once, and a step on what was kept."""
    spec = MODELS[context.model_name]
    sides = spec.input_sizes[SMALLEST:] if context.device == "cpu" else spec.input_sizes
    for side in sides:
        architecture = dataclasses.replace(spec.architecture, image_size=side)
        yield from _measure_step(context, architecture)


def _measure_step(context: BenchmarkContext, architecture: Architecture) -> Iterator[Row]:
    recipe, side = RECIPES[context.model_name], architecture.image_size
    device = torch.device(context.device)
    model = build_random_model(architecture).to(device)
    pixels = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    began = time.perf_counter()
    with torch.no_grad():
        trunk = encode_trunk(model, pixels[None].to(device))[0].half().cpu()
    yield Row(f"training, encode an image once, {side}", 1e3 * (time.perf_counter() - began), "ms")
    yield Row(f"training, an encoded image on the disk, {side}", trunk.nbytes / 2**20, "MiB")
    torch.manual_seed(0)
    adapted = AdaptedModel(model, "detector", recipe.rank, recipe.rank * LORA_SCALE)
    task = ConceptTask(adapted, architecture.queries).to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate)
    batch = _to_device(_make_batch(architecture, trunk, recipe.prompts), device)
    name = f"training step, {recipe.prompts} prompts, {side}"
    step = partial(_run_step, task, optimizer, batch, device)
    if device.type == "cuda":
        yield Row(f"{name}: peak allocated above the weights",
                  measure_gpu_peak(step) / GIB, "GiB")  # fmt: skip
    step()
    began = time.perf_counter()
    step()
    yield Row(name, 1e3 * (time.perf_counter() - began), "ms")
    if device.type == "cpu":
        yield Row(f"{name}: peak of the process", _read_peak_bytes() / GIB, "GiB")


def _run_step(
    task: ConceptTask, optimizer: torch.optim.Optimizer, batch: dict[str, Any], device: torch.device
) -> None:
    enabled = device.type == "cuda" and has_fast_bfloat16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
        loss = task(**batch)["loss"]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    task.adapted.restore_base()
    if device.type == "cuda":
        torch.cuda.synchronize()


def _make_batch(architecture: Architecture, trunk: torch.Tensor, prompts: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    side = architecture.mask_side

    def make_answer(index: int) -> Answer:
        places, sizes = rng.uniform(0.3, 0.7, (OBJECTS, 2)), rng.uniform(0.1, 0.3, (OBJECTS, 2))
        boxes = np.concatenate([places, sizes], 1).astype(np.float32)
        return Answer(f"concept {index}", Targets.make(boxes, rng.random((3, side, side)) > 0.5))

    answers = [make_answer(index) for index in range(prompts)]
    image = TrainingImage("", None, tuple(answers), ())
    return dict(collate([Item(image, answers, [[]] * prompts)], lambda image: trunk))


def _to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    def move(value: Any) -> Any:
        return value.to(device) if isinstance(value, torch.Tensor) else value

    moved = {name: move(value) for name, value in batch.items()}
    return {**moved, "targets": {name: move(v) for name, v in batch["targets"].items()}}


def _read_peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
