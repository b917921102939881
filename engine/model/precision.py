"""Chooses the floating-point precision that a model computes in."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Resolves ``auto`` to the best precision of a device.

    Args:
        precision: ``auto``, ``float32`` or ``bfloat16``.
        device: Where the model runs.

    Returns:
        The precision to run in: bfloat16 where the hardware multiplies it natively.

    Raises:
        ValueError: If the name is unknown.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision: expected 'auto', 'float32' or 'bfloat16', got {precision!r}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # oneDNN emulates bfloat16 elsewhere, slower than float32.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"
