"""Merges a LoRA adapter, as the ``peft`` library saves it, into the weights of a checkpoint.

An adapter is a folder with ``adapter_config.json`` and ``adapter_model.safetensors``. It may
have been trained on the modules of the ``sam3`` package or of ``transformers``: its names are
converted as those of a checkpoint. A query, key or value part is added to its rows of the
joined weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .adapter_config import count_output_updates, read_config
from .errors import AdapterError
from .layouts import LAYOUTS, Layout, recognize_layout
from .reader import read_tensors
from .transformers_names import Placement

WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")

_PREFIX = "base_model.model."
_MARKS = (".lora_A.weight", ".lora_B.weight")
_WEIGHTS = (".weight", ".in_proj_weight")
"""What a module's adapter changes: its weight; of torch's ``MultiheadAttention``, which peft wraps
as a whole, the joined weight of query, key and value."""

_OUTPUT_PROJECTION = ".base_layer.out_proj"
"""The output projection of torch's ``MultiheadAttention``, as peft writes its name."""


def merge_adapter(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Adds an adapter to the weights of a model.

    Args:
        state: Tensors by the names of ``Sam3Image.state_dict()``.
        folder: The adapter's folder.

    Returns:
        The weights in float32 where the adapter changes them, the others as they are.

    Raises:
        AdapterError: If the folder holds no adapter that can be merged into these weights.
    """
    config = read_config(folder)
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in read_tensors(_find_weight_file(folder)).items()
    }
    pairs, whole = _split_tensors(tensors, folder)
    layout = _choose_layout(state, pairs, folder)
    merged = dict(state)
    for name, (down, up) in pairs.items():
        module = _get_module(name)
        if down.dim() < 2 or up.dim() < 2 or down.shape[0] != up[0].numel():
            shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
            raise AdapterError(f"{folder} adapts {module} by {shapes}, which are no factors.")
        times = 1
        if name.endswith(_OUTPUT_PROJECTION) and up.any():
            times = count_output_updates(config.peft_version, folder)
        change = _multiply_factors(down, up) * config.scale(module) * times
        _add_change(merged, layout, module, change, folder)
    for name, tensor in whole.items():
        _replace_weight(merged, layout, name, tensor, folder)
    return merged


def _find_weight_file(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise AdapterError(f"{folder} is not an adapter: it holds no {WEIGHT_FILES[0]}.")


def _split_tensors(
    tensors: Mapping[str, Tensor], folder: Path
) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Separates pairs of low-rank factors, by module, from weights that replace the base's."""
    factors: dict[str, dict[str, Tensor]] = {}
    whole = {}
    for name, tensor in tensors.items():
        mark = next((mark for mark in _MARKS if name.endswith(mark)), None)
        if mark is not None:
            factors.setdefault(name.removesuffix(mark), {})[mark] = tensor
        elif "lora_" in name:
            raise AdapterError(f"{folder} holds {name}, which is no plain LoRA weight.")
        else:
            whole[name.replace(".base_layer", "").replace(".modules_to_save", "")] = tensor
    incomplete = [module for module, pair in factors.items() if len(pair) != len(_MARKS)]
    if incomplete or not factors:
        what = f"{incomplete[0]} lacks a factor" if incomplete else "it holds no LoRA weights"
        raise AdapterError(f"{folder} is not a complete adapter: {what}.")
    return {m: (pair[_MARKS[0]], pair[_MARKS[1]]) for m, pair in factors.items()}, whole


def _get_module(name: str) -> str:
    return name.replace(".base_layer", "")


def _choose_layout(state: Mapping[str, Tensor], pairs: Mapping[str, Any], folder: Path) -> Layout:
    """Chooses the layout in which the model has every adapted module.

    An adapter of few modules need not hold one of the names by which a whole file is recognized.
    """
    recognized = recognize_layout(list(pairs), folder)
    for layout in (recognized, *LAYOUTS):
        if all(_find_weight(state, layout, _get_module(name)) for name in pairs):
            return layout
    return recognized


def _find_weight(state: Mapping[str, Tensor], layout: Layout, module: str) -> Placement | None:
    """Finds the weight that the adapter of a module changes; None if the model has none."""
    for weight in _WEIGHTS:
        placement = layout.place(module + weight)
        if placement is not None and placement.name in state:
            return placement
    return None


def _multiply_factors(down: Tensor, up: Tensor) -> Tensor:
    """Multiplies the low-rank factors: (out, r) @ (r, in), or the same for a convolution."""
    product = up.float().flatten(1) @ down.float().flatten(1)
    return product.view(up.shape[0], *down.shape[1:])


def _add_change(
    state: dict[str, Tensor], layout: Layout, module: str, change: Tensor, folder: Path
) -> None:
    placement = _find_weight(state, layout, module)
    if placement is None:
        raise AdapterError(f"{folder} adapts {module}, which this model does not have.")
    name = placement.name
    weight = state[name].float().clone()
    rows = weight if placement.third is None else weight.chunk(3)[placement.third]
    if rows.shape != change.shape:
        raise AdapterError(
            f"{folder} changes {module} by {tuple(change.shape)}, but the weight is "
            f"{tuple(rows.shape)}. It was trained on another model."
        )
    rows += change
    state[name] = weight


def _replace_weight(
    state: dict[str, Tensor], layout: Layout, name: str, tensor: Tensor, folder: Path
) -> None:
    placement = layout.place(name)
    if placement is None:
        return
    for place, value in layout.convert(placement.name, tensor).items():
        if place not in state:
            raise AdapterError(f"{folder} holds {name}, which this model does not have.")
        if placement.third is None:
            state[place] = value
        else:
            weight = state[place].float().clone()
            rows = weight.chunk(3)[placement.third]
            if rows.shape != value.shape:
                raise AdapterError(
                    f"{folder} replaces {name} by {tuple(value.shape)}, but the weight is "
                    f"{tuple(rows.shape)}. It was trained on another model."
                )
            rows.copy_(value)
            state[place] = weight
