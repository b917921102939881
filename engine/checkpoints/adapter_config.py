"""Reads the configuration of a LoRA adapter, as the ``peft`` library writes it."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..validation import shorten
from .errors import AdapterError

CONFIG_FILE = "adapter_config.json"

_LAST_TWICE = (0, 21)
"""The last peft that is known to add the update of the output projection twice, in training as
in ``merge_and_unload`` (found by running 0.21; peft pull request 3774 mends it)."""

_LARGEST_NUMBER = 1e9
_LONGEST_KEY = 200
_MOST_REPEATS = 4
"""Also of groups: alternatives multiply as repeats do."""
_REPEATED_GROUP = re.compile(r"\)[*+{]")
"""Matching such an expression may take time exponential in the length of a module's name."""

_UNSUPPORTED = ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "megatron_config")


@dataclasses.dataclass(frozen=True)
class AdapterConfig:
    """The fields of ``adapter_config.json`` that merging needs."""

    rank: float
    alpha: float
    rank_pattern: Mapping[str, float]
    alpha_pattern: Mapping[str, float]
    use_rslora: bool
    peft_version: str = ""

    def scale(self, module: str) -> float:
        """Returns the factor of ``B @ A`` for a module: alpha / r, or alpha / sqrt(r)."""
        rank = _find_by_suffix(self.rank_pattern, module, self.rank)
        alpha = _find_by_suffix(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_config(folder: Path) -> AdapterConfig:
    """Reads ``adapter_config.json``.

    Args:
        folder: The adapter's folder.

    Returns:
        What merging needs of it.

    Raises:
        AdapterError: If there is none, or it is not one of plain LoRA.
    """
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AdapterError(f"{path} cannot be read as a peft LoRA configuration.") from error
    unsupported = [name for name in _UNSUPPORTED if read.get(name)]
    if kind != "LORA" or unsupported:
        what = f"{kind} with {', '.join(unsupported)}" if unsupported else kind
        raise AdapterError(f"{folder} is an adapter of type {what}; only plain LORA is supported.")
    return AdapterConfig(
        _check_number(path, "r", rank, above_zero=True),
        _check_number(path, "lora_alpha", alpha),
        _check_pattern(path, "rank_pattern", read.get("rank_pattern"), above_zero=True),
        _check_pattern(path, "alpha_pattern", read.get("alpha_pattern")),
        bool(read.get("use_rslora")),
        str(read.get("peft_version") or ""),
    )


def _check_number(path: Path, field: str, value: Any, above_zero: bool = False) -> float:
    """Checks a rank or a scale: a finite number, a rank above 0."""
    is_number = type(value) in (int, float) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
    if not is_number or (above_zero and value <= 0):
        expected = "a number above 0" if above_zero else "a number"
        raise AdapterError(f"{path}: {field}: expected {expected}, got {shorten(value)}.")
    return float(value)


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


def count_output_updates(peft_version: str, folder: Path) -> int:
    """Tells how often peft added the update of an attention's output projection in training.

    Args:
        peft_version: From the adapter's configuration; empty if it says none, as old ones do.
        folder: The adapter, for messages.

    Raises:
        AdapterError: If that version is newer than those known, and is not installed, so that
            it cannot be asked.
    """
    numbers = re.match(r"(\d+)\.(\d+)", peft_version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) <= _LAST_TWICE:
        return 2
    try:
        import peft
    except ImportError:
        installed = "none"
    else:
        installed = peft.__version__
        if installed == peft_version:
            return measure_output_updates()
    raise AdapterError(
        f"{folder} was written by peft {peft_version}, of which is not known how it adapts the "
        f"output of an attention (installed: {installed}). Install peft=={peft_version}, so that "
        "it can be asked, or merge the adapter with it."
    )


@functools.cache
def measure_output_updates() -> int:
    """Measures on a small attention how often the installed peft adds the update of its output."""
    import peft

    config = peft.LoraConfig(
        r=1, lora_alpha=1, target_modules=["attention"], init_lora_weights=False
    )
    with torch.random.fork_rng(devices=[]):
        model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 1)})
        before = model["attention"].out_proj.weight.detach().clone()
        adapted = peft.get_peft_model(model, config)
        output = adapted.base_model.model["attention"].base_layer.out_proj
        with torch.no_grad():
            update = output.get_delta_weight("default")
            merged = adapted.merge_and_unload()["attention"].out_proj.weight
            return round(float((merged - before).norm() / update.norm()))


def _find_by_suffix(pattern: Mapping[str, Any], module: str, default: Any) -> Any:
    # As peft matches these keys: the whole name or its end after a dot.
    for key, value in pattern.items():
        if re.match(rf"^(.*\.)?({key})$", module):
            return value
    return default
