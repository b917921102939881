"""Generates automatic masks: a grid of point prompts, filtered as SAM's own generator does.

Kirillov et al., "Segment Anything", 2023, appendix B: three candidates for each point of a
grid; those stay whose predicted IoU and stability score are high, after NMS on their boxes.
Names and values of the thresholds are those of ``SamAutomaticMaskGenerator``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes, nms

from ..postprocess.masks import upscale_logit_masks
from ..postprocess.nms import mask_nms
from ..prompts import EverythingPrompt, PromptedObject
from ..results import Instance, Mask
from ..runtime.memory import BatchLimits
from ..runtime.steps import StepCallback
from .image_encoder import EncodedImage
from .interactive import ObjectDecoder

PRED_IOU_THRESH = 0.88
"""Candidates with a lower predicted IoU are dropped; the paper's value."""

STABILITY_SCORE_THRESH = 0.95
"""Candidates with a lower stability score are dropped; the paper's value.

It is meant for masks of :data:`PAPER_GRID_SIDE` cells a side. The boundary that changes is
about a cell wide on any grid, so on a coarser one it is a larger share of the mask.
"""

PAPER_GRID_SIDE = 256

STABILITY_SCORE_OFFSET = 1.0
"""How far the threshold is moved to both sides, in logits; the paper's value."""

BOX_NMS_THRESH = 0.7
"""Of candidates whose boxes have a higher IoU the best-rated stays; the paper's value."""

MASK_NMS_THRESH = 0.5
"""The same for masks, which the paper does not compare: it drops parts and pairs of an object
that a better-rated mask shows alone."""

MAX_BORDER_SHARE = 0.8
"""A mask that covers a larger share of the image's border pixels is the background, which is no
object, and is dropped."""


def segment_everything(
    decoder: ObjectDecoder,
    encoded: EncodedImage,
    prompt: EverythingPrompt,
    on_step: StepCallback,
    limits: BatchLimits,
) -> tuple[Instance, ...]:
    """Segments every object of an image from a grid of points.

    Masks are upscaled to the image's size after the filters.

    Args:
        decoder: The decoder.
        encoded: The encoded image.
        prompt: Its ``points_per_side`` is the grid's.
        on_step: Called after each batch of points.
        limits: How many points go through the decoder at a time.

    Returns:
        Instances of one class, by falling predicted IoU.
    """
    image_hw = encoded.image_hw
    grid = make_point_grid(prompt.points_per_side, image_hw)
    side = decoder.mask_side
    logits, scores = torch.empty(0, side, side), torch.empty(0)
    for start in range(0, len(grid), limits.objects):
        batch = grid[start : start + limits.objects]
        clicks = [PromptedObject(points_xy=((x, y),)) for x, y in batch.tolist()]
        decoded = decoder.decode(encoded.state, clicks, True, holes_filled=False)
        candidates = torch.from_numpy(decoded.logits).flatten(0, 1)
        rated = torch.from_numpy(decoded.scores).flatten()
        with decoder.execution.fix_threads():
            good = (rated > PRED_IOU_THRESH) & is_stable(candidates, decoder.mask_threshold)
            logits, scores = torch.cat([logits, candidates[good]]), torch.cat([scores, rated[good]])
            # After every batch, so that no duplicates are kept in memory.
            kept = nms(masks_to_boxes(logits > decoder.mask_threshold), scores, BOX_NMS_THRESH)
            logits, scores = logits[kept], scores[kept]
        on_step(f"everything: {start + len(batch)} of {len(grid)} points")
    with decoder.execution.fix_threads():
        logits = decoder.fill_holes(logits.unsqueeze(1)).squeeze(1)
        threshold, mask_bytes = decoder.mask_threshold, limits.mask_bytes
        found = list(_make_instances(logits, scores, image_hw, threshold, mask_bytes))
    return mask_nms(found, MASK_NMS_THRESH)


def count_batches(prompt: EverythingPrompt, limits: BatchLimits) -> int:
    """Counts the batches of points that :func:`segment_everything` decodes."""
    return math.ceil(prompt.points_per_side**2 / limits.objects)


def make_point_grid(points_per_side: int, image_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Makes a grid of points: the centers of N x N cells laid over an image.

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
    """Tells whether the stability score of each mask is high enough.

    The score is the IoU of the masks at a stricter and at a laxer threshold.

    Args:
        logits: (N, g, g) float32.
        threshold: The predictor's ``mask_threshold``.

    Returns:
        (N,) bool; false for a mask that the stricter threshold leaves empty.
    """
    strict = (logits > threshold + STABILITY_SCORE_OFFSET).flatten(1).sum(dim=1)
    lax = (logits > threshold - STABILITY_SCORE_OFFSET).flatten(1).sum(dim=1)
    min_score = 1 - (1 - STABILITY_SCORE_THRESH) * PAPER_GRID_SIDE / logits.shape[-1]
    return (strict > 0) & (strict >= min_score * lax)


def compute_border_share(mask: Mask) -> float:
    """Computes the share of the image's border pixels that belong to a mask."""
    height, width = mask.image_hw
    left, top = mask.origin_xy
    inner = mask.crop[max(0, 1 - top) : (height - 1) - top, max(0, 1 - left) : (width - 1) - left]
    border_px = height * width - max(0, height - 2) * max(0, width - 2)
    return (mask.area - int(np.count_nonzero(inner))) / border_px


def _make_instances(
    logits: Tensor,
    scores: Tensor,
    image_hw: tuple[int, int],
    threshold: float,
    mask_bytes: int,
) -> Iterator[Instance]:
    masks = upscale_logit_masks(logits, image_hw, threshold, mask_bytes)
    for mask, score in zip(masks, scores.tolist(), strict=True):
        if mask.area and compute_border_share(mask) <= MAX_BORDER_SHARE:
            left, top, right, bottom = (float(v) for v in mask.xyxy)
            yield Instance(0, score, (left, top, right, bottom), mask)
