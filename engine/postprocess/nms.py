"""Filters the instances of a result by minimum area and by mask or box NMS."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as mask_api
from torch import Tensor
from torchvision.ops import nms

from ..export.rle import mask_to_rle
from ..model.sam3_imports import generic_nms_cpu
from ..prompts import ConceptPrompt, EverythingPrompt
from ..results import Instance, Mask, Result

MASK_NMS_IOU = 0.7
"""Of two masks that overlap by more the one with the lower score is dropped."""


def apply_filters(result: Result, prompt: ConceptPrompt | EverythingPrompt) -> Result:
    """Applies a prompt's ``min_area_px`` and ``overlap`` to a result.

    Args:
        result: The instances of a run.
        prompt: The prompt of that run.

    Returns:
        The result with the instances that remain, in the same order.
    """
    instances = filter_by_area(result.instances, prompt.min_area_px)
    if isinstance(prompt, ConceptPrompt) and prompt.overlap == "best":
        instances = mask_nms(instances) if prompt.masks else box_nms(instances)
    return dataclasses.replace(result, instances=instances)


def filter_by_area(instances: Sequence[Instance], min_area_px: int) -> tuple[Instance, ...]:
    """Keeps the instances whose mask has at least ``min_area_px`` pixels."""
    return tuple(i for i in instances if i.mask.area >= min_area_px)


def mask_nms(
    instances: Sequence[Instance], iou_threshold: float = MASK_NMS_IOU
) -> tuple[Instance, ...]:
    """Drops instances whose mask overlaps a mask with a higher score, of any class.

    Greedy NMS: a dropped instance does not suppress others. Of equal scores the first stays.

    Args:
        instances: Instances of one image.
        iou_threshold: Masks with a higher IoU are duplicates.

    Returns:
        The instances that remain, in the order given.
    """
    if len(instances) < 2:
        return tuple(instances)
    scores = np.array([i.score for i in instances])
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    ious = compute_mask_ious([i.mask for i in instances])
    # The package's mask NMS without its IoU, which lays out all pairs at full size.
    kept = generic_nms_cpu(torch.from_numpy(ious), torch.from_numpy(ranks), iou_threshold)
    return tuple(instances[k] for k in sorted(kept.tolist()))


def box_nms(
    instances: Sequence[Instance], iou_threshold: float = MASK_NMS_IOU
) -> tuple[Instance, ...]:
    """Drops instances whose box overlaps a box with a higher score, of any class.

    Args:
        instances: Instances of one image.
        iou_threshold: Boxes with a higher IoU are duplicates.

    Returns:
        The instances that remain, in the order given.
    """
    boxes = torch.tensor([i.box_xyxy for i in instances], dtype=torch.float32).reshape(-1, 4)
    kept = nms(boxes, torch.tensor([i.score for i in instances]), iou_threshold)
    return tuple(instances[k] for k in sorted(kept.tolist()))


def compute_mask_ious(masks: Sequence[Mask]) -> npt.NDArray[np.float64]:
    """Computes the IoU of every pair of masks, exactly, from their run lengths.

    Args:
        masks: N masks of one image.

    Returns:
        (N, N) float64; 0 where both are empty.
    """
    if not masks:
        return np.zeros((0, 0))
    runs = [mask_to_rle(mask) for mask in masks]
    # Its cost is bounded by the overlaps: it skips pairs whose boxes are apart.
    return np.nan_to_num(np.asarray(mask_api.iou(runs, runs, [0] * len(runs)), np.float64))


def compute_cell_ious(masks: Tensor, others: Tensor, of_smaller: bool = False) -> Tensor:
    """Computes the IoU of every pair of low-resolution masks as the package's ``mask_iou`` does.

    The package lays out all pairs: 3 GB for 200 masks at full size, and much slower on a CPU.

    Args:
        masks: (N, g, g) bool.
        others: (M, g, g) bool, on the same device.
        of_smaller: Divides by the area of the smaller mask instead of the union.

    Returns:
        (N, M) float32, equal to the package's in every bit: counts below 2**24 are exact.
    """
    rows, columns = masks.flatten(1).float(), others.flatten(1).float()
    with torch.autocast(masks.device.type, enabled=False):
        shared = rows @ columns.T
    areas, other_areas = rows.sum(dim=1)[:, None], columns.sum(dim=1)[None]
    whole = torch.minimum(areas, other_areas) if of_smaller else areas + other_areas - shared
    return shared / whole.clamp(min=1)
