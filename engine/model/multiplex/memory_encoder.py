"""Encodes the masks of all objects of a bucket into one memory."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Architecture
from ..patched_modules import SinePositions
from ..sam3_imports import (
    CXBlock,
    LayerNorm2d,
    SimpleFuser,
    SimpleMaskDownSampler,
    SimpleMaskEncoder,
)

_CHANNELS = (16, 64, 256, 1024)
"""Channels after each of the four convolutions that halve the masks."""


class _BucketDownSampler(SimpleMaskDownSampler):
    """The package's downsampler, for a bucket's masks and a plane each that marks prompted ones."""

    def __init__(self, slots: int, width: int, side: int) -> None:
        super().__init__(
            embed_dim=width, kernel_size=3, stride=2, padding=1, interpol_size=[side, side]
        )
        layers: list[nn.Module] = []
        for given, made in pairwise((2 * slots, *_CHANNELS)):
            convolution = nn.Conv2d(given, made, kernel_size=3, stride=2, padding=1)
            layers += [convolution, LayerNorm2d(made), nn.GELU()]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(_CHANNELS[-1], width, kernel_size=1))

    def resize(self, planes: Tensor) -> Tensor:
        """Resizes (N, 1, S, S) planes to the size that is encoded, as the package does."""
        size = self.interpol_size
        if list(planes.shape[-2:]) == size:
            return planes
        return F.interpolate(
            planes.float(), size, mode="bilinear", align_corners=False, antialias=True
        )


def build_memory_encoder(a: Architecture, slots: int) -> SimpleMaskEncoder:
    """Builds the memory encoder; a memory is as wide as the features, for all objects together."""
    return SimpleMaskEncoder(
        in_dim=a.width,
        out_dim=a.width,
        position_encoding=SinePositions(a.width),
        mask_downsampler=_BucketDownSampler(slots, a.width, a.patches_per_side * 16),
        fuser=SimpleFuser(
            layer=CXBlock(
                dim=a.width,
                kernel_size=7,
                padding=3,
                layer_scale_init_value=1.0e-06,
                use_dwconv=True,
            ),
            num_layers=a.memory_fuser_layers,
        ),
    )
