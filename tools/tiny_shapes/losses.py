"""Computes the losses of concepts (detection, masks) and of objects (masks, quality).

The recipe is DETR's with MaskFormer's mask terms and one-to-many queries, as in the SAM 3
paper: Hungarian matching, focal classification, L1 and GIoU boxes, focal and dice masks,
on every decoder layer; and SAM's for the interactive decoder.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

CLASS_WEIGHT = 4.0
BOX_L1_WEIGHT = 5.0
BOX_GIOU_WEIGHT = 2.0
MASK_DICE_WEIGHT = 5.0
MASK_FOCAL_WEIGHT = 40.0
PRESENCE_WEIGHT = 5.0
ABSENT_CLASS_WEIGHT = 0.05
"""Weight of query scores for absent concepts, which the presence token has to tell."""

OTHERS_WEIGHT = 2.0
"""Weight of the share of a mask that lies on other shapes. Where two shapes look the same, the
Dice loss alone is lower for one mask of both than for a mask of the wrong one."""

ONE_TO_MANY = 4
"""Number of one-to-many queries that learn from the same shape."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """Holds the shapes that P concept prompts should find, packed.

    Attributes:
        cxcywh: Boxes of all wanted shapes, (T, 4) float32, normalized.
        coverage: Their share of each mask-grid cell, (T, M, M) float32.
        counts: Wanted shapes of each prompt, P numbers that sum to T.
    """

    cxcywh: Tensor
    coverage: Tensor
    counts: list[int]


def compute_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Computes one minus the Dice coefficient.

    Args:
        logits: (N, M, M).
        target: (N, M, M) in 0..1.

    Returns:
        (N,).
    """
    p, t = logits.sigmoid().flatten(1), target.flatten(1)
    return 1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)


def compute_focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float = 2.0) -> Tensor:
    """Computes the focal loss (Lin et al. 2017) with soft targets, element-wise."""
    p = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_true = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return weight * cross_entropy * (1 - p_true) ** gamma


def _match_queries(
    logits: Tensor, boxes: Tensor, targets: Targets, repeat: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Matches queries to targets (Hungarian); returns prompt, query and target indices."""
    with torch.no_grad():
        p = logits.flatten(0, 1).sigmoid()
        class_cost = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
        class_cost = class_cost - 0.75 * p**2 * -(1 - p + 1e-8).log()
        flat = boxes.flatten(0, 1)
        cost = (
            2 * class_cost
            + 5 * torch.cdist(flat, targets.cxcywh, p=1)
            - 2
            * generalized_box_iou(
                box_convert(flat, "cxcywh", "xyxy"), box_convert(targets.cxcywh, "cxcywh", "xyxy")
            )
        )
        costs = cost.view(*logits.shape[:2], -1).cpu().numpy()
    prompt, query, target = [], [], []
    start = 0
    for index, count in enumerate(targets.counts):
        if count:
            block = np.tile(costs[index][:, start : start + count], (1, repeat))
            rows, columns = linear_sum_assignment(block)
            prompt.append(np.full(len(rows), index))
            query.append(rows)
            target.append(start + columns % count)
        start += count
    device = logits.device
    return tuple(  # type: ignore[return-value]
        torch.as_tensor(np.concatenate(part), device=device) for part in (prompt, query, target)
    )


def compute_concept_loss(outputs: dict[str, Any], targets: Targets) -> dict[str, Tensor]:
    """Computes the loss of the concept route over all decoder layers.

    Args:
        outputs: What ``Sam3Image``'s decoder and segmentation head return in training mode.
            ``mask_prompts`` (Q,) says which prompts have masks.
        targets: What should be found.

    Returns:
        Weighted terms to sum.
    """
    present = torch.tensor(
        [float(count > 0) for count in targets.counts], device=targets.cxcywh.device
    )
    total = max(1, sum(targets.counts))
    terms: dict[str, Tensor] = {}

    def add(name: str, value: Tensor) -> None:
        terms[name] = terms[name] + value if name in terms else value

    layers = [*outputs["aux_outputs"], outputs]
    for layer in layers:
        presence = layer["presence_logit_dec"].float().view(-1)
        add(
            "presence",
            PRESENCE_WEIGHT * F.binary_cross_entropy_with_logits(presence, present) / len(layers),
        )
        for suffix, repeat in (("", 1), ("_o2m", ONE_TO_MANY)):
            logits = layer["pred_logits" + suffix].float()
            boxes = layer["pred_boxes" + suffix].float()
            wanted = torch.zeros_like(logits)
            if sum(targets.counts):
                prompt, query, target = _match_queries(logits, boxes, targets, repeat)
                wanted[prompt, query] = 1
                matched, truth = boxes[prompt, query], targets.cxcywh[target]
                giou = generalized_box_iou_loss(
                    box_convert(matched, "cxcywh", "xyxy"),
                    box_convert(truth, "cxcywh", "xyxy"),
                    reduction="sum",
                )
                distance = BOX_L1_WEIGHT * (matched - truth).abs().sum() + BOX_GIOU_WEIGHT * giou
                add("box", distance / total / repeat)
                if layer is outputs:
                    for name, value in _compute_mask_loss(
                        outputs, suffix, prompt, query, targets.coverage[target]
                    ).items():
                        add(name, value / total / repeat)
            weight = present[:, None, None] * (1 - ABSENT_CLASS_WEIGHT) + ABSENT_CLASS_WEIGHT
            score = (compute_focal_loss(logits, wanted, alpha=0.5) * weight).sum()
            add("class", CLASS_WEIGHT * score / total / (1 if repeat == 1 else 2))
    return terms


def _compute_mask_loss(
    outputs: dict[str, Any], suffix: str, prompt: Tensor, query: Tensor, coverage: Tensor
) -> dict[str, Tensor]:
    mask_prompts = outputs["mask_prompts"]
    row = torch.full((int(prompt.max()) + 1,), -1, device=prompt.device)
    inside = mask_prompts[mask_prompts < len(row)]
    row[inside] = torch.arange(len(inside), device=prompt.device)
    has_mask = row[prompt] >= 0
    if not has_mask.any():
        return {}
    masks = outputs["pred_masks" + suffix][row[prompt[has_mask]], query[has_mask]].float()
    truth = coverage[has_mask]
    # Prompts without masks were left out to save time; those that have one stand for all.
    scale = len(prompt) / int(has_mask.sum())
    return {
        "dice": scale * MASK_DICE_WEIGHT * compute_dice_loss(masks, truth).sum(),
        "focal": scale
        * MASK_FOCAL_WEIGHT
        * compute_focal_loss(masks, truth, 0.25).mean((1, 2)).sum(),
    }


def compute_object_losses(
    logits: Tensor, quality: Tensor, coverage: Tensor, others: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Computes the loss of the interactive decoder: its single mask, the best of its three.

    Args:
        logits: (P, 4, M, M): the single-mask token, then three candidates.
        quality: Predicted IoU of each, (P, 4).
        coverage: (P, 1, M, M).
        others: What other shapes cover, (P, 1, M, M), to add the share of a mask that lies on
            them; None adds nothing.

    Returns:
        The loss of each, (P,), and the IoU of every mask, (P, 4), without gradient.
    """
    truth = coverage.expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    dice = compute_dice_loss(logits.flatten(0, 1), truth.flatten(0, 1)).view(quality.shape)
    each = dice + 10 * cross_entropy.mean((2, 3))
    if others is not None:
        p = logits.sigmoid()
        each = each + OTHERS_WEIGHT * (p * others).sum((2, 3)) / (p.sum((2, 3)) + 1)
    with torch.no_grad():
        found, real = logits > 0, truth > 0.5
        iou = (found & real).sum((2, 3)) / ((found | real).sum((2, 3)) + 1e-6)
    loss = each[:, 0] + each[:, 1:].min(1).values + (quality - iou).abs().mean(1)
    return loss, iou


def compute_mean_object_loss(
    logits: Tensor, quality: Tensor, coverage: Tensor
) -> tuple[Tensor, Tensor]:
    """Computes the mean of :func:`compute_object_losses`, and the IoU of every mask."""
    loss, iou = compute_object_losses(logits, quality, coverage)
    return loss.mean(), iou
