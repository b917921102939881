"""Adds to the features of a frame what is remembered of a bucket's objects."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..sam3_imports import apply_rotary_enc, compute_axial_cis

_POSITION_SHARE = 0.1
"""Share of the positions that is added to a frame's features, as in the package's attention."""


class Remembered(NamedTuple):
    """Holds what K tokens remember of the objects of B buckets; the last ones are pointers.

    Attributes:
        objects: (B, K, C), of the objects.
        image: (1, K, C), of the frames; zeros for pointers.
        positions: (1, K, C), in space and time.
        pointers: How many of the K tokens are pointers, which have no place in the image.
    """

    objects: Tensor
    image: Tensor
    positions: Tensor
    pointers: int


class _AttentionLayer(nn.Module):
    """Attends to the frame itself and to what is remembered of the objects and of the frames.

    Queries and keys of the image and of the objects have projections of their own, and are added.
    """

    rotation: Tensor

    def __init__(self, width: int, heads: int, feedforward_width: int, cells: int) -> None:
        super().__init__()
        for kind in ("self_attn", "cross_attn"):
            for part in ("q", "k", "v", "out"):
                setattr(self, f"{kind}_{part}_proj", nn.Linear(width, width))
        self.image_cross_attn_q_proj = nn.Linear(width, width)
        self.image_cross_attn_k_proj = nn.Linear(width, width)
        self.linear1 = nn.Linear(width, feedforward_width)
        self.linear2 = nn.Linear(feedforward_width, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self._heads = heads
        rotation = compute_axial_cis(width // heads, cells, cells)
        self.register_buffer("rotation", rotation, persistent=False)

    def forward(self, cells: Tensor, image: Tensor, remembered: Remembered) -> Tensor:
        """Computes a layer.

        Args:
            cells: (1 or B, L, C), the frame as it was changed so far.
            image: (1, L, C), the frame.
            remembered: Of B buckets.

        Returns:
            (1 or B, L, C).
        """
        own = self.norm1(cells)
        attended = self._attend(
            self.self_attn_q_proj(own), self.self_attn_k_proj(own), self.self_attn_v_proj(own), 0
        )
        cells = cells + self.self_attn_out_proj(attended)
        queries = self.image_cross_attn_q_proj(image) + self.cross_attn_q_proj(self.norm2(cells))
        keys = (
            self.image_cross_attn_k_proj(remembered.image)
            + self.cross_attn_k_proj(remembered.objects)
            + remembered.positions
        )
        values = self.cross_attn_v_proj(remembered.objects)
        attended = self._attend(
            queries.expand(len(keys), -1, -1), keys, values, remembered.pointers
        )
        cells = cells + self.cross_attn_out_proj(attended)
        return cells + self.linear2(F.gelu(self.linear1(self.norm3(cells))))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, unrotated: int) -> Tensor:
        """Attends with rotary positions, but for the last ``unrotated`` keys."""
        q, k, v = (
            x.unflatten(2, (self._heads, -1)).transpose(1, 2) for x in (queries, keys, values)
        )
        placed = k.shape[2] - unrotated
        is_longer = placed != q.shape[2]
        q, rotated = apply_rotary_enc(q, k[:, :, :placed], self.rotation, repeat_freqs_k=is_longer)
        k = torch.cat([rotated, k[:, :, placed:]], dim=2).to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v.to(q.dtype))
        return out.transpose(1, 2).flatten(2)


class MultiplexMemoryAttention(nn.Module):
    """Attends in several layers."""

    def __init__(
        self, width: int, heads: int, feedforward_width: int, layers: int, cells: int
    ) -> None:
        """Creates untrained layers.

        Args:
            width: Channels.
            heads: Attention heads.
            feedforward_width: Hidden channels of a layer.
            layers: How many.
            cells: Side of the feature map.
        """
        super().__init__()
        self.layers = nn.ModuleList(
            _AttentionLayer(width, heads, feedforward_width, cells) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor, positions: Tensor, remembered: Remembered) -> Tensor:
        """Adds what is remembered.

        Args:
            image: (1, L, C), the frame.
            positions: (1, L, C), its encoded positions.
            remembered: Of B buckets.

        Returns:
            (B, L, C).
        """
        cells = image + _POSITION_SHARE * positions
        for layer in self.layers:
            cells = layer(cells, image, remembered)
        normed: Tensor = self.norm(cells)
        return normed
