"""Decodes points, boxes and given masks on one frame, one object at a time, for the tracker."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..video_tracker import NO_OBJECT_LOGIT, PRESENT_LOGIT, VideoTracker, limit_points
from .buckets import ObjectMasks
from .tracker import MultiplexTracker

_GIVEN_LOGIT = 10.0
"""Object score logit of a given mask that has a pixel; an empty one has its negative."""

_REFINED_LOGITS = 32.0
"""Largest logit of a mask that is refined (the package's)."""


def encode_masks(
    tracker: MultiplexTracker, heads: VideoTracker, maps: Sequence[Tensor], masks: Tensor
) -> ObjectMasks:
    """Makes objects of given masks; pixels that two of them share go to neither.

    Args:
        tracker: The tracker.
        heads: The interactive heads.
        maps: The interactive maps of the frame, finest first, after the heads' convolutions.
        masks: (N, S, S) bool, S = ``heads.input_mask_size``.

    Returns:
        The objects.
    """
    given = masks[:, None].float()
    prompt = tracker.interactive_mask_downsample(given)
    points = torch.zeros(len(masks), 1, 2, device=masks.device)
    no_labels = torch.full((len(masks), 1), -1, dtype=torch.int32, device=masks.device)
    _, _, tokens, scores = _decode(heads, maps, points, no_labels, prompt, multimask=False)
    pointers = tracker.make_pointers(tokens[:, 0], scores)
    is_there = masks.flatten(1).any(dim=1, keepdim=True)
    own = given.bool() & (masks.sum(dim=0) == 1)
    logits = torch.where(own, PRESENT_LOGIT, NO_OBJECT_LOGIT)
    side = (heads.low_res_mask_size, heads.low_res_mask_size)
    return ObjectMasks(
        F.interpolate(logits, side, mode="bilinear", align_corners=False, antialias=True),
        torch.where(is_there, _GIVEN_LOGIT, -_GIVEN_LOGIT),
        tracker.mark_absent(pointers, is_there),
        torch.ones(len(masks), device=masks.device),
    )


def decode_points(
    tracker: MultiplexTracker,
    heads: VideoTracker,
    maps: Sequence[Tensor],
    points_xy: Tensor,
    labels: Tensor,
    mask_input: Tensor | None,
) -> ObjectMasks:
    """Makes objects of points and boxes.

    Args:
        tracker: The tracker.
        heads: The interactive heads.
        maps: As in :func:`encode_masks`.
        points_xy: (N, P, 2) float32, in pixels of the model's input.
        labels: (N, P) int32: 1 foreground, 0 background, 2 and 3 the corners of a box.
        mask_input: (N, 1, g, g) logits to refine, or None.

    Returns:
        The objects.
    """
    points_xy, labels = limit_points(points_xy, labels)
    if mask_input is not None:
        mask_input = mask_input.clamp(-_REFINED_LOGITS, _REFINED_LOGITS)
    # One point may mean several things: the best of three masks is taken.
    masks, ious, tokens, scores = _decode(
        heads, maps, points_xy, labels, mask_input, multimask=labels.shape[1] <= 1
    )
    rows, best = torch.arange(len(ious), device=ious.device), ious.argmax(dim=1)
    tokens = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
    logits = torch.where(scores[..., None] > 0, masks[rows, best].float(), NO_OBJECT_LOGIT)
    return ObjectMasks(
        logits[:, None],
        scores,
        tracker.make_pointers(tokens, scores),
        torch.ones(len(ious), device=ious.device),
    )


def _decode(
    heads: VideoTracker,
    maps: Sequence[Tensor],
    points_xy: Tensor,
    labels: Tensor,
    mask_input: Tensor | None,
    multimask: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sparse, dense = heads.sam_prompt_encoder(
        points=(points_xy, labels), boxes=None, masks=mask_input
    )
    decoded: tuple[Tensor, Tensor, Tensor, Tensor] = heads.sam_mask_decoder(
        image_embeddings=maps[-1] + heads.no_mem_embed.transpose(1, 2)[..., None],
        image_pe=heads.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        repeat_image=True,
        high_res_features=list(maps[:2]),
    )
    return decoded
