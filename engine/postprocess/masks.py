"""Pure functions on mask arrays: upscale, threshold, fill holes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from skimage.measure import label
from torch import Tensor
from torch.nn import functional as F

from ..results import Mask
from ..runtime.memory import CHUNK_BYTES


def upscaled_probability_masks(
    logits: Tensor, image_hw: tuple[int, int], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Mask]:
    """Masks as ``Sam3Processor`` makes them: bilinear, sigmoid, above 0.5, in float32.

    Args:
        logits: (N, g, g), any float dtype.
        image_hw: Size to bring them to, in pixels.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.

    Yields:
        N masks, bit-identical to the package's in float32.
    """
    for upscaled in _upscaled_chunks(logits, image_hw, chunk_bytes):
        for full in (upscaled.sigmoid_() > 0.5).cpu().numpy():
            yield Mask.from_full(full)


def upscaled_logit_masks(
    logits: Tensor,
    image_hw: tuple[int, int],
    threshold: float = 0.0,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Mask]:
    """Masks as ``predict_inst`` makes them: bilinear, above the threshold, in float32.

    Args:
        logits: (N, g, g), any float dtype.
        image_hw: Size to bring them to, in pixels.
        threshold: The predictor's ``mask_threshold``.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.

    Yields:
        N masks, bit-identical to the package's in float32.
    """
    for upscaled in _upscaled_chunks(logits, image_hw, chunk_bytes):
        for full in (upscaled > threshold).cpu().numpy():
            yield Mask.from_full(full)


def _upscaled_chunks(
    logits: Tensor, image_hw: tuple[int, int], chunk_bytes: int
) -> Iterator[Tensor]:
    per_mask = image_hw[0] * image_hw[1] * 4
    for chunk in logits.split(max(1, chunk_bytes // per_mask)):
        yield F.interpolate(
            chunk.float().unsqueeze(1), image_hw, mode="bilinear", align_corners=False
        ).squeeze(1)


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor from the CPU on another device, for which the host does not wait."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def with_holes_filled(logits: Tensor, max_area: float, threshold: float = 0.0) -> Tensor:
    """Fills small holes as ``SAM2Transforms.postprocess_masks`` does, before upscaling.

    Args:
        logits: (B, C, g, g) float32.
        max_area: Largest hole to fill, in cells; 0 for none.
        threshold: Logits at or below it are background.

    Returns:
        (B, C, g, g) float32, filled cells at ``threshold + 10``.
    """
    if max_area <= 0 or not logits.numel():
        return logits
    background = (logits <= threshold).flatten(0, 1)
    if logits.is_cuda:
        from ..model.sam3_imports import connected_components

        labels, areas = connected_components(background.unsqueeze(1).to(torch.uint8))
        is_hole = ((labels > 0) & (areas <= max_area)).view_as(logits)
    else:
        holes = np.stack([_small_parts(part, max_area) for part in background.numpy()])
        is_hole = torch.from_numpy(holes).view_as(logits)
    return torch.where(is_hole, threshold + 10.0, logits)


def _small_parts(mask: np.ndarray, max_area: float) -> np.ndarray:
    """Pixels of 8-connected parts of at most ``max_area`` pixels, (H, W) bool."""
    labels = label(mask)
    small = np.bincount(labels.ravel()) <= max_area
    small[0] = False
    return small[labels]
