"""Writes weights as safetensors in the layout of Meta's checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .layouts import get_meta_name, is_derived


def save_weights(
    state: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype = torch.float16,
    names: Collection[str] | None = None,
) -> None:
    """Writes weights as safetensors in the layout of Meta's checkpoint.

    The rotary tables are left out: they are computed from the architecture.

    Args:
        state: A ``Sam3Image.state_dict()``.
        path: The file to write; it appears only when it is complete.
        dtype: The data type of floating-point weights in the file.
        names: The weights that are stored so; the others stay float32. None for all.

    Raises:
        ValueError: If a weight is not finite in ``dtype``.
    """
    from safetensors.torch import save_file

    stored = {}
    for name, tensor in state.items():
        if is_derived(name):
            continue
        kept = tensor.detach().cpu()
        if kept.is_floating_point():
            kept = kept.to(dtype if names is None or name in names else torch.float32)
            if not torch.isfinite(kept).all():
                raise ValueError(f"{name} is not finite as {dtype}.")
        stored[get_meta_name(name)] = kept.contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        save_file(stored, unfinished, metadata={"format": "pt"})
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
