"""Everything there is, without a word: a grid of clicks, and what comes of the good ones.

The recipe is SAM's automatic mask generation (Kirillov et al., "Segment Anything", 2023,
appendix B): three candidates for each point of a grid; those kept that the model itself
rates well, that hardly change with the threshold, and that repeat no better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes, nms

from ..postprocess.filters import best_of_rivals
from ..postprocess.masks import upscaled_logit_masks
from ..prompts import EverythingPrompt, PromptedObject
from ..results import Instance
from ..runtime.memory import Portions
from .interactive import ObjectDecoder

CLASS_NAME = "object"

MIN_PREDICTED_IOU = 0.88
"""Candidates that the model rates lower are left out; the paper's value."""

MAX_CHANGE = 0.05
"""Likewise for candidates that change more with the threshold; the paper's value.

It is meant for masks of :data:`PAPER_GRID_SIDE` cells a side. The rim that changes is about
a cell wide on any grid, so on a coarser one it is a larger share of the mask.
"""

PAPER_GRID_SIDE = 256

STABILITY_OFFSET = 1.0
"""How far the threshold is moved to both sides, in logits; the paper's value."""

SAME_BOX_IOU = 0.7
"""Of candidates whose boxes overlap more the best-rated stays; the paper's value."""

SAME_MASK_IOU = 0.5
"""Likewise for masks, which the paper does not compare: parts and pairs of a thing that a
better-rated mask shows whole and alone."""


def segment_everything(
    decoder: ObjectDecoder,
    state: dict[str, Any],
    prompt: EverythingPrompt,
    on_step: Callable[[str], None],
    portions: Portions,
) -> tuple[Instance, ...]:
    """Finds candidates for everything in an image.

    Masks stay at the size in which the decoder makes them until it is known which of
    them remain.

    Args:
        decoder: The decoder.
        state: The encoded image; its original size is that of the masks.
        prompt: Says how fine the grid is.
        on_step: Called after each batch of points.
        portions: How many points go through the decoder at a time.

    Returns:
        Instances of one class, by falling predicted IoU.
    """
    image_hw = state["original_height"], state["original_width"]
    grid = point_grid(prompt.points_per_side, image_hw)
    side = decoder.mask_side
    logits, scores = torch.empty(0, side, side), torch.empty(0)
    for start in range(0, len(grid), portions.objects):
        batch = grid[start : start + portions.objects]
        clicks = [PromptedObject(points_xy=((x, y),)) for x, y in batch.tolist()]
        decoded = decoder.decode(state, clicks, multimask=True, fill_holes=False)
        candidates = torch.from_numpy(decoded.logits).flatten(0, 1)
        rated = torch.from_numpy(decoded.scores).flatten()
        good = (rated > MIN_PREDICTED_IOU) & is_stable(candidates, decoder.mask_threshold)
        logits, scores = torch.cat([logits, candidates[good]]), torch.cat([scores, rated[good]])
        # After every batch, so that memory holds different things only.
        kept = nms(masks_to_boxes(logits > decoder.mask_threshold), scores, SAME_BOX_IOU)
        logits, scores = logits[kept], scores[kept]
        on_step(f"everything: {start + len(batch)} of {len(grid)} points")
    logits = decoder.with_holes_filled(logits.unsqueeze(1)).squeeze(1)
    threshold, mask_bytes = decoder.mask_threshold, portions.mask_bytes
    found = list(_instances(logits, scores, image_hw, threshold, mask_bytes))
    return best_of_rivals(found, SAME_MASK_IOU)


def point_grid(points_per_side: int, image_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Centres of the cells of a square grid laid over an image.

    Args:
        points_per_side: Cells along each side.
        image_hw: Height and width of the image, in pixels.

    Returns:
        (points_per_side ** 2, 2) xy in pixels, row by row.
    """
    ticks = (np.arange(points_per_side) + 0.5) / points_per_side
    xs, ys = np.meshgrid(ticks * image_hw[1], ticks * image_hw[0])
    return np.stack([xs.ravel(), ys.ravel()], axis=1)


def is_stable(logits: Tensor, threshold: float) -> Tensor:
    """Whether masks are much the same with a stricter and with a laxer threshold.

    Args:
        logits: (N, g, g) float32.
        threshold: The predictor's ``mask_threshold``.

    Returns:
        (N,) bool; false for a mask that the stricter threshold leaves empty.
    """
    strict = (logits > threshold + STABILITY_OFFSET).flatten(1).sum(dim=1)
    lax = (logits > threshold - STABILITY_OFFSET).flatten(1).sum(dim=1)
    min_stability = 1 - MAX_CHANGE * PAPER_GRID_SIDE / logits.shape[-1]
    return (strict > 0) & (strict >= min_stability * lax)


def _instances(
    logits: Tensor,
    scores: Tensor,
    image_hw: tuple[int, int],
    threshold: float,
    mask_bytes: int,
) -> Iterator[Instance]:
    masks = upscaled_logit_masks(logits, image_hw, threshold, mask_bytes)
    for mask, score in zip(masks, scores.tolist(), strict=True):
        if mask.area:
            left, top, right, bottom = (float(v) for v in mask.xyxy)
            yield Instance(0, score, (left, top, right, bottom), mask)
