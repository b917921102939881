"""Merges a LoRA adapter, as the ``peft`` library saves it, into the weights of a checkpoint.

An adapter is a folder with ``adapter_config.json`` and ``adapter_model.safetensors``. It may
have been trained on the modules of the ``sam3`` package or of ``transformers``: its names are
converted as those of a checkpoint. A query, key or value part is added to its rows of the
joined weight.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..validation import shorten
from .errors import AdapterError
from .layouts import Layout, recognize_layout
from .reader import read_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")

_PREFIX = "base_model.model."
_MARKS = (".lora_A.weight", ".lora_B.weight")
_TWICE = ".base_layer.out_proj"
"""peft adds the output projection of torch's ``MultiheadAttention`` twice, in training as in
``merge_and_unload`` (found by running peft 0.21)."""

_LARGEST_NUMBER = 1e9
_LONGEST_KEY = 200
_MOST_REPEATS = 4
"""Also of groups: alternatives multiply as repeats do."""
_REPEATED_GROUP = re.compile(r"\)[*+{]")
"""Matching such an expression may take time exponential in the length of a module's name."""

_UNSUPPORTED = ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "megatron_config")


@dataclasses.dataclass(frozen=True)
class _Config:
    """The fields of ``adapter_config.json`` that merging needs."""

    rank: float
    alpha: float
    rank_pattern: Mapping[str, float]
    alpha_pattern: Mapping[str, float]
    use_rslora: bool

    def scale(self, module: str) -> float:
        """Returns the factor of ``B @ A`` for a module: alpha / r, or alpha / sqrt(r)."""
        rank = _find_by_suffix(self.rank_pattern, module, self.rank)
        alpha = _find_by_suffix(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


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
    config = _read_config(folder)
    tensors = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in read_tensors(_find_weight_file(folder)).items()
    }
    layout = recognize_layout(tensors, folder)
    pairs, whole = _split_tensors(tensors, folder)
    merged = dict(state)
    for name, (down, up) in pairs.items():
        module = name.replace(".base_layer", "")
        times = 2 if name.endswith(_TWICE) else 1
        if down.dim() < 2 or up.dim() < 2 or down.shape[0] != up[0].numel():
            shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
            raise AdapterError(f"{folder} adapts {module} by {shapes}, which are no factors.")
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


def _read_config(folder: Path) -> _Config:
    path = folder / CONFIG_FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        kind = str(read.get("peft_type"))
        rank, alpha = read["r"], read["lora_alpha"]
    except FileNotFoundError as error:
        raise AdapterError(
            f"{folder} is not an adapter: it holds no {CONFIG_FILE}, which tells how to scale "
            "its weights. Copy it from where the adapter was trained (peft's save_pretrained "
            "writes it)."
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise AdapterError(f"{path} cannot be read as a peft LoRA configuration.") from error
    unsupported = [name for name in _UNSUPPORTED if read.get(name)]
    if kind != "LORA" or unsupported:
        what = f"{kind} with {', '.join(unsupported)}" if unsupported else kind
        raise AdapterError(f"{folder} is an adapter of type {what}; only plain LORA is supported.")
    return _Config(
        _check_number(path, "r", rank, above_zero=True),
        _check_number(path, "lora_alpha", alpha),
        _check_pattern(path, "rank_pattern", read.get("rank_pattern"), above_zero=True),
        _check_pattern(path, "alpha_pattern", read.get("alpha_pattern")),
        bool(read.get("use_rslora")),
    )


def _check_number(path: Path, field: str, value: object, above_zero: bool = False) -> float:
    """Checks a rank or a scale: a finite number, a rank above 0."""
    if (
        type(value) not in (int, float)
        or not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER  # type: ignore[operator]
        or (above_zero and value <= 0)  # type: ignore[operator]
    ):
        expected = "a number above 0" if above_zero else "a number"
        raise AdapterError(f"{path}: {field}: expected {expected}, got {shorten(value)}.")
    return value  # type: ignore[return-value]


def _check_pattern(
    path: Path, field: str, pattern: object, above_zero: bool = False
) -> dict[str, float]:
    """Checks numbers by regular expressions of modules, none of which may take long to match."""
    if pattern is None:
        return {}
    if not isinstance(pattern, Mapping):
        raise AdapterError(f"{path}: {field}: expected an object, got {shorten(pattern)}.")
    for key in pattern:
        try:
            re.compile(rf"^(.*\.)?({key})$")
            is_bounded = len(key) <= _LONGEST_KEY and not _REPEATED_GROUP.search(key)
            is_bounded &= sum(map(key.count, "*+{?")) <= _MOST_REPEATS >= key.count("(")
        except (re.error, OverflowError, RecursionError):
            is_bounded = False
        if not is_bounded:
            expected = "names of modules, or short regular expressions without repeated groups"
            raise AdapterError(f"{path}: {field}: expected {expected}, got {shorten(key)}.")
    return {
        key: _check_number(path, f"{field}.{shorten(key)}", value, above_zero)
        for key, value in pattern.items()
    }


def _find_by_suffix(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    # As peft matches these keys: the whole name or its end after a dot.
    for key, value in pattern.items():
        if re.match(rf"^(.*\.)?({key})$", module):
            return value
    return default


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


def _multiply_factors(down: Tensor, up: Tensor) -> Tensor:
    """Multiplies the low-rank factors: (out, r) @ (r, in), or the same for a convolution."""
    product = up.float().flatten(1) @ down.float().flatten(1)
    return product.view(up.shape[0], *down.shape[1:])


def _add_change(
    state: dict[str, Tensor], layout: Layout, module: str, change: Tensor, folder: Path
) -> None:
    placement = layout.place(module + ".weight")
    name = None if placement is None else placement.name
    if name not in state and module.split(".")[-1].endswith("attn"):
        # peft wraps torch's MultiheadAttention as a whole.
        name = None if name is None else name.removesuffix(".weight") + ".in_proj_weight"
    if placement is None or name is None or name not in state:
        raise AdapterError(f"{folder} adapts {module}, which this model does not have.")
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
