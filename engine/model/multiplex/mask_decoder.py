"""Decodes the masks of all objects of a bucket at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..sam3_imports import MaskDecoder, TwoWayTransformer

_CANDIDATES = 3
"""Masks that are decoded for each slot; the one with the highest predicted IoU is taken."""


class DecodedSlots(NamedTuple):
    """Holds what was decoded for the S slots of B buckets.

    Attributes:
        logits: (B, S, 3, 4h, 4w) mask logits.
        ious: (B, S, 3) predicted IoUs.
        tokens: (B, S, 3, C), from which pointers are made.
        scores: (B, S, 1) logits of whether the object is visible.
    """

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    scores: Tensor


class MultiplexMaskDecoder(MaskDecoder):
    """The package's mask decoder with tokens for each slot of a bucket, and without prompts."""

    def __init__(
        self, slots: int, width: int, transformer: TwoWayTransformer, iou_head_width: int
    ) -> None:
        """Creates an untrained decoder.

        Args:
            slots: Objects of a bucket.
            width: Channels.
            transformer: Lets tokens and image attend to each other.
            iou_head_width: Hidden channels of the mask quality head.
        """
        super().__init__(
            transformer=transformer,
            transformer_dim=width,
            # The package's class adds a single mask to these, which this architecture lacks.
            num_multimask_outputs=_CANDIDATES - 1,
            iou_head_hidden_dim=iou_head_width,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=False,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
        )
        self.slots = slots
        self.iou_token = nn.Embedding(slots, width)
        self.obj_score_token = nn.Embedding(slots, width)
        self.mask_tokens = nn.Embedding(slots * _CANDIDATES, width)

    def forward(
        self, image: Tensor, image_positions: Tensor, finer: list[Tensor], slot_embedding: Tensor
    ) -> DecodedSlots:
        """Decodes every slot, also the empty ones.

        Args:
            image: (B, C, h, w), the frame with what each bucket remembers.
            image_positions: (1, C, h, w).
            finer: (1, C/8, 4h, 4w) and (1, C/4, 2h, 2w), the frame's finer maps.
            slot_embedding: (B, S, C), what tells which slots hold an object.

        Returns:
            The masks, their predicted IoUs, tokens and object scores.
        """
        buckets, width, height, wide = image.shape
        masks = self.mask_tokens.weight.view(1, self.slots, _CANDIDATES, width)
        masks = (masks + slot_embedding[:, :, None]).flatten(1, 2)
        others = torch.cat([self.obj_score_token.weight, self.iou_token.weight])
        tokens = torch.cat([others.expand(buckets, -1, -1), masks], dim=1)
        positions = image_positions.expand(buckets, -1, -1, -1)
        tokens, cells = self.transformer(image, positions, tokens)
        score_tokens, iou_tokens, mask_tokens = tokens.split(
            [self.slots, self.slots, self.slots * _CANDIDATES], dim=1
        )
        first, norm, first_activation, second, second_activation = self.output_upscaling
        grid = cells.transpose(1, 2).reshape(buckets, width, height, wide)
        grid = first_activation(norm(first(grid) + finer[1]))
        grid = second_activation(second(grid) + finer[0])
        mask_tokens = mask_tokens.unflatten(1, (self.slots, _CANDIDATES))
        kernels = torch.stack(
            [mlp(mask_tokens[:, :, k]) for k, mlp in enumerate(self.output_hypernetworks_mlps)],
            dim=2,
        )
        logits = (kernels.flatten(1, 2) @ grid.flatten(2)).view(
            buckets, self.slots, _CANDIDATES, *grid.shape[-2:]
        )
        return DecodedSlots(
            logits,
            self.iou_prediction_head(iou_tokens),
            mask_tokens,
            self.pred_obj_score_head(score_tokens),
        )
