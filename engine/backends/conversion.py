"""Converts the image encoder to a model of OpenVINO."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class FeatureMaps(nn.Module):
    """The image encoder as a function of an image: the maps of both necks, finest first."""

    def __init__(self, encoder: nn.Module, unused: int) -> None:
        """Wraps an encoder.

        Args:
            encoder: The ``VisionNeck`` of a model.
            unused: How many of the last maps of each neck nobody uses.
        """
        super().__init__()
        self.trunk = encoder.trunk
        necks = [neck for neck in (encoder.convs, encoder.sam2_convs) if neck is not None]
        self.necks = nn.ModuleList(
            nn.ModuleList(list(neck)[: len(neck) - unused]) for neck in necks
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Computes the maps of (1, 3, H, W) pixels, each (1, C, h, w)."""
        features = self.trunk(image)[-1]
        return tuple(conv(features) for neck in self.necks for conv in neck)


def convert_encoder(maps: FeatureMaps, image_size: int) -> Any:
    """Converts an encoder for images of one size.

    The package's rotary positions are complex numbers, which OpenVINO does not know; while it is
    exported they are sines and cosines, which gives the same values within rounding.

    Args:
        maps: The encoder, in float32 on the CPU.
        image_size: Side of the square input, in pixels.

    Returns:
        The ``openvino.Model``, whose weights are those of ``maps``.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    image = torch.zeros(1, 3, image_size, image_size)
    with torch.no_grad(), _use_real_positions(maps.trunk):
        exported = torch.export.export(maps, (image,), strict=False)
    # Not ``openvino.convert_model``: it reports each use to OpenVINO's makers without asking.
    decoder = TorchFXPythonDecoder.from_exported_program(exported)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


@contextlib.contextmanager
def _use_real_positions(trunk: nn.Module) -> Iterator[None]:
    """Lets the attention of the trunk's blocks rotate by real numbers while it is entered."""
    attentions = [block.attn for block in trunk.blocks]
    for attention in attentions:
        table = attention.freqs_cis
        cosines, sines = table.real.clone(), table.imag.clone()
        attention._apply_rope = functools.partial(_rotate_both, cosines=cosines, sines=sines)
    try:
        yield
    finally:
        for attention in attentions:
            del attention._apply_rope


def _rotate_both(
    query: Tensor, key: Tensor, cosines: Tensor, sines: Tensor
) -> tuple[Tensor, Tensor]:
    return _rotate(query, cosines, sines), _rotate(key, cosines, sines)


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotates pairs of channels: (a, b) becomes (a cos - b sin, a sin + b cos)."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cosines - b * sines, a * sines + b * cosines), -1).flatten(-2)
