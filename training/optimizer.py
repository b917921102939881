"""Groups trained parameters for the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn


def make_parameter_groups(
    model: nn.Module,
    learning_rate: float,
    rates: Mapping[str, float],
    choose_part: Callable[[str], str],
) -> list[dict[str, Any]]:
    """Groups the trained parameters for the optimizer, each with its factor on the rate.

    Args:
        model: The model, with frozen parameters that need no gradient.
        learning_rate: Highest learning rate.
        rates: Factor on it for each part.
        choose_part: Tells the part of a parameter by its name.

    Returns:
        A group for each part, in order; ``share`` is its factor.
    """
    parameters: dict[str, list[nn.Parameter]] = {part: [] for part in rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameters[choose_part(name)].append(parameter)
    return [
        {"params": parameters[part], "lr": learning_rate * rate, "share": rate}
        for part, rate in rates.items()
    ]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tells whether a device computes in bfloat16 itself; a CPU without takes eight times as long.

    A CPU needs AVX-512 or AMX instructions for it.
    """
    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
