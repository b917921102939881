"""Leaves instances out after the model has spoken: specks, and all but the best of rivals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as mask_api
from torchvision.ops import nms

from ..export.rle import mask_to_rle
from ..model.sam3_imports import generic_nms_cpu
from ..prompts import ConceptPrompt, EverythingPrompt
from ..results import Instance, Mask, Result

RIVAL_IOU = 0.7
"""Two masks that overlap by more claim the same thing."""


def selected(result: Result, prompt: ConceptPrompt | EverythingPrompt) -> Result:
    """Applies what a prompt says about which instances to keep; runs no network.

    Args:
        result: What was found.
        prompt: Whose ``min_area_px`` and, if it has one, ``overlap`` apply.

    Returns:
        The result without the instances that were not wanted, in the same order.
    """
    instances = large_enough(result.instances, prompt.min_area_px)
    if isinstance(prompt, ConceptPrompt) and prompt.overlap == "best":
        instances = best_of_rivals(instances) if prompt.masks else box_nms(instances)
    return dataclasses.replace(result, instances=instances)


def large_enough(instances: Sequence[Instance], min_area_px: int) -> tuple[Instance, ...]:
    """Instances whose mask has at least so many pixels."""
    return tuple(i for i in instances if i.mask.area >= min_area_px)


def best_of_rivals(
    instances: Sequence[Instance], iou_threshold: float = RIVAL_IOU
) -> tuple[Instance, ...]:
    """Drops each instance that overlaps a better-scored one, of any class.

    A dropped instance drops nobody itself. Of equally scored ones the first stays.

    Args:
        instances: Instances of one image.
        iou_threshold: Masks that overlap by more are rivals.

    Returns:
        The others, in the order given.
    """
    if len(instances) < 2:
        return tuple(instances)
    scores = np.array([i.score for i in instances])
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    ious = mask_ious([i.mask for i in instances])
    # The package's mask NMS without its IoU, which lays out all pairs at full size.
    kept = generic_nms_cpu(torch.from_numpy(ious), torch.from_numpy(ranks), iou_threshold)
    return tuple(instances[k] for k in sorted(kept.tolist()))


def box_nms(
    instances: Sequence[Instance], iou_threshold: float = RIVAL_IOU
) -> tuple[Instance, ...]:
    """Drops each instance whose box overlaps that of a better-scored one, of any class.

    Args:
        instances: Instances of one image.
        iou_threshold: Boxes that overlap by more claim the same thing.

    Returns:
        The others, in the order given.
    """
    boxes = torch.tensor([i.box_xyxy for i in instances], dtype=torch.float32).reshape(-1, 4)
    kept = nms(boxes, torch.tensor([i.score for i in instances]), iou_threshold)
    return tuple(instances[k] for k in sorted(kept.tolist()))


def mask_ious(masks: Sequence[Mask]) -> npt.NDArray[np.float64]:
    """IoU of every pair, exact, from run lengths: no mask is brought to the image's size.

    Args:
        masks: N masks of one image.

    Returns:
        (N, N) float64; 0 where both are empty.
    """
    if not masks:
        return np.zeros((0, 0))
    runs = [mask_to_rle(mask) for mask in masks]
    # Pairs whose boxes are apart cost nothing in there.
    return np.nan_to_num(np.asarray(mask_api.iou(runs, runs, [0] * len(runs)), np.float64))
