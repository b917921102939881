"""Runs concept and object prompts on training samples, and computes their losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engine.model.sam3_imports import Sam3Image
from ...training.concept_route import run_concept_route
from .frozen_encoder import TrackerMaps
from .losses import Targets, compute_concept_loss, compute_mean_object_loss
from .random_prompts import ObjectPrompts, draw_concept_prompts, draw_object_prompts
from .samples import Sample

CONCEPTS_PER_IMAGE = 2
OBJECTS_PER_IMAGE = 4
REFINED_SHARE = 0.5
"""Share of steps in which object prompts are refined with the mask they gave."""
OBJECT_WEIGHT = 3.0


def compute_concept_losses(
    model: Sam3Image,
    features: dict[str, Any],
    samples: list[Sample],
    rng: np.random.Generator,
    exemplar_share: float,
    elsewhere_share: float = 0.0,
) -> dict[str, Tensor]:
    """Computes the losses of random concept prompts."""
    device = features["vision_features"].device
    prompts = draw_concept_prompts(
        rng, samples, CONCEPTS_PER_IMAGE, exemplar_share, elsewhere_share
    )
    present = [p for p, wanted in enumerate(prompts.wanted) if wanted]
    # The mask head is half of the work: one prompt an image is enough to teach it.
    chosen = rng.permutation(np.array(present, np.int64))[: len(samples)]
    with_masks = torch.as_tensor(np.sort(chosen), dtype=torch.long, device=device)
    outputs = run_concept_route(model, features, prompts, with_masks)
    images = prompts.image_index.tolist()
    boxes = [samples[i].cxcywh[w] for i, w in zip(images, prompts.wanted, strict=True)]
    coverage = [samples[i].coverage[w] for i, w in zip(images, prompts.wanted, strict=True)]
    targets = Targets(
        cxcywh=torch.from_numpy(np.concatenate(boxes)).to(device),
        coverage=torch.from_numpy(np.concatenate(coverage)).to(device),
        counts=[len(w) for w in prompts.wanted],
    )
    return compute_concept_loss(outputs, targets)


def get_tracker_maps(model: Sam3Image, features: dict[str, Any]) -> TrackerMaps:
    """Gets the maps that the mask decoder reads from what ``forward_image`` gave."""
    decoder = model.inst_interactive_predictor.model.sam_mask_decoder
    fine, middle, coarse = features["sam2_backbone_out"]["backbone_fpn"][:3]
    return decoder.conv_s0(fine), decoder.conv_s1(middle), coarse


def compute_object_loss(
    model: Sam3Image, maps: TrackerMaps, samples: list[Sample], rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Computes the loss of random object prompts, and the mean IoU of the single mask."""
    tracker = model.inst_interactive_predictor.model
    device = maps[0].device
    decoder = tracker.sam_mask_decoder
    embedding = maps[2] + tracker.no_mem_embed.view(1, -1, 1, 1)
    prompts = draw_object_prompts(rng, samples, OBJECTS_PER_IMAGE)
    index = prompts.image_index.to(device)
    coverage = prompts.coverage.to(device)

    def decode(coords: Tensor, labels: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        sparse, dense = tracker.sam_prompt_encoder(
            points=(coords.to(device), labels.to(device)), boxes=None, masks=masks
        )
        logits, quality = decoder.predict_masks(
            image_embeddings=embedding[index],
            image_pe=tracker.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=[m[index] for m in maps[:2]],
        )[:2]
        return logits.float(), quality.float()

    logits, quality = decode(prompts.coords, prompts.labels, None)
    loss, iou = compute_mean_object_loss(logits, quality, coverage)
    if rng.random() < REFINED_SHARE:
        previous = logits[:, :1].detach().clamp(-32, 32)
        coords, labels = add_correcting_clicks(
            rng, prompts, previous, side=samples[0].image.shape[-1]
        )
        refined = decode(coords, labels, previous)
        loss = loss + compute_mean_object_loss(*refined, coverage)[0]
    return OBJECT_WEIGHT * loss, float(iou[:, 0].mean())


def add_correcting_clicks(
    rng: np.random.Generator, prompts: ObjectPrompts, previous: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Adds to each prompt a click where the mask it gave is wrong.

    Args:
        rng: Source of every random choice.
        prompts: P prompts.
        previous: Logits they gave, (P, 1, M, M).
        side: Side of the model's input, in pixels.

    Returns:
        Coordinates (P, K + 1, 2) and labels (P, K + 1).
    """
    found = (previous[:, 0] > 0).cpu().numpy()
    real = (prompts.coverage[:, 0] > 0.5).numpy()
    cell_px = side / found.shape[-1]
    clicks, labels = [], []
    for f, r in zip(found, real, strict=True):
        wrong = np.flatnonzero(f != r)
        cell = int(rng.choice(wrong if len(wrong) else np.arange(f.size)))
        y, x = divmod(cell, f.shape[1])
        clicks.append([(x + 0.5) * cell_px - 0.5, (y + 0.5) * cell_px - 0.5])
        labels.append(int(r[y, x]))
    return (
        torch.cat([prompts.coords, torch.tensor(clicks).float()[:, None]], dim=1),
        torch.cat([prompts.labels, torch.tensor(labels, dtype=torch.int32)[:, None]], dim=1),
    )
