"""Converts mask logits to masks: upscales, applies the threshold, fills holes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ..results import Mask
from ..runtime.memory import CHUNK_BYTES


def upscale_probability_masks(
    logits: Tensor, image_hw: tuple[int, int], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Mask]:
    """Upscales mask logits as ``Sam3Processor`` does: bilinear, sigmoid, above 0.5, float32.

    Args:
        logits: (N, g, g), any float dtype.
        image_hw: Size of the masks, in pixels.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.

    Yields:
        N masks, bit-identical to the package's in float32.
    """
    for upscaled in _upscale_in_chunks(logits, image_hw, chunk_bytes):
        for full in (upscaled.sigmoid_() > 0.5).cpu().numpy():
            yield Mask.from_full(full)


def upscale_logit_masks(
    logits: Tensor,
    image_hw: tuple[int, int],
    threshold: float = 0.0,
    chunk_bytes: int = CHUNK_BYTES,
    of_one_object: bool = False,
) -> Iterator[Mask]:
    """Upscales mask logits as ``predict_inst`` does: bilinear, above the threshold, float32.

    Args:
        logits: (N, g, g), any float dtype.
        image_hw: Size of the masks, in pixels.
        threshold: The predictor's ``mask_threshold``.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.
        of_one_object: The masks are candidates of one object. The package upscales these as
            channels of one image, for which PyTorch has another kernel: last bits differ.

    Yields:
        N masks, bit-identical to the package's in float32.
    """
    for upscaled in _upscale_in_chunks(logits, image_hw, chunk_bytes, of_one_object):
        for full in (upscaled > threshold).cpu().numpy():
            yield Mask.from_full(full)


def _upscale_in_chunks(
    logits: Tensor, image_hw: tuple[int, int], chunk_bytes: int, as_channels: bool = False
) -> Iterator[Tensor]:
    per_mask = image_hw[0] * image_hw[1] * 4
    for chunk in logits.split(max(1, chunk_bytes // per_mask)):
        if as_channels:
            # One channel alone would take the kernel of single masks.
            channels = chunk if len(chunk) > 1 else chunk.expand(2, -1, -1)
            batch = channels.float().unsqueeze(0)
        else:
            batch = chunk.float().unsqueeze(1)
        upscaled = F.interpolate(batch, image_hw, mode="bilinear", align_corners=False)
        yield upscaled.flatten(0, 1)[: len(chunk)]


def move_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a CPU tensor to a device without waiting for the copy."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fill_holes(logits: Tensor, max_area: float, threshold: float = 0.0) -> Tensor:
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
    is_hole = _find_small_regions(logits <= threshold, max_area)
    return torch.where(is_hole, threshold + 10.0, logits)


def clean_track_masks(logits: Tensor, max_area: float) -> Tensor:
    """Fills small holes and removes small islands as ``fill_holes_in_mask_scores`` does.

    Args:
        logits: (N, g, g) float32, N may be 0.
        max_area: Largest hole and island, in cells; an island is at most half of its mask.

    Returns:
        (N, g, g) float32, filled cells at 0.1, removed ones at -0.1.
    """
    if max_area <= 0 or not logits.numel():
        return logits
    logits = torch.where(_find_small_regions(logits <= 0, max_area), 0.1, logits)
    foreground = logits > 0
    half = foreground.sum(dim=(-1, -2), keepdim=True) // 2
    return torch.where(_find_small_regions(foreground, half.clamp(max=max_area)), -0.1, logits)


def _find_small_regions(mask: Tensor, max_area: float | Tensor) -> Tensor:
    """Finds 8-connected regions of at most ``max_area`` cells, (..., g, g) bool."""
    flat = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.is_cuda:
        from ..model.sam3_imports import connected_components

        areas = connected_components(flat.to(torch.uint8))[1]
    else:
        regions = [_measure_region_areas(part[0].numpy()) for part in flat]
        areas = torch.from_numpy(np.stack(regions))
    return mask & (areas.view_as(mask) <= max_area)


def _measure_region_areas(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Measures the area of each pixel's 8-connected region, (H, W) int32; undefined outside."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return np.asarray(stats[:, cv2.CC_STAT_AREA][labels], np.int32)
