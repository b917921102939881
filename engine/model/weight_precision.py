"""Chooses the weights that are held in bfloat16; the others stay float32."""

from __future__ import annotations

import torch
from torch import nn

from .sam3_imports import Sam3Image, TransformerDecoderLayer

_MATRIX_PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.MultiheadAttention)


def find_bfloat16_names(model: Sam3Image) -> frozenset[str]:
    """Finds the weights that may be held in bfloat16 without changing a result.

    Autocast converts the weights and biases of matrix products to bfloat16 each time they
    are used; holding them so gives the same numbers. Everything else stays float32: norms,
    embeddings, rotary tables, parameters that are used by themselves, and the layers that the
    package runs with autocast switched off (``TransformerDecoderLayer.forward_ffn``).

    Args:
        model: The model.

    Returns:
        Names of ``model.state_dict()``.
    """
    without_autocast = {
        id(linear)
        for layer in model.modules()
        if isinstance(layer, TransformerDecoderLayer)
        for linear in (layer.linear1, layer.linear2)
    }
    return frozenset(
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, _MATRIX_PRODUCTS) and id(module) not in without_autocast
        for name, _ in module.named_parameters(recurse=False)
    )


def hold_in_bfloat16(model: Sam3Image) -> None:
    """Converts the weights of :func:`find_bfloat16_names` in place, one at a time."""
    names = find_bfloat16_names(model)
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.data = parameter.data.to(torch.bfloat16)
