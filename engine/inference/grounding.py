"""What the decoder gives for one concept on one image, and the instances made from it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.sam3_imports import Sam3Image, box_cxcywh_to_xyxy
from ..postprocess.masks import on_device, upscaled_probability_masks
from ..results import BoxXyxy, Instance, Mask, PackedMask
from ..runtime.memory import CHUNK_BYTES
from .cache import tensor_bytes

MASK_FLOOR = 0.05
"""Masks of queries above this score are kept, so that a threshold can move down to it."""

MAX_FINISHED_BYTES = 64 * 1024**2
"""Bytes of finished masks kept for each grounding, so that a threshold moves at once."""


@dataclasses.dataclass
class Grounding:
    """What the decoder gives for one concept on one image; masks follow when asked for.

    Attributes:
        scores: (Q,) float32, presence times query probability, on the CPU.
        boxes_cxcywh: (Q, 4) float32, normalised, on the CPU.
        mask_head_inputs: What the mask head needs, on the model's device.
        masks: Once computed: logits (Q', g, g) of some queries, and for each query its row
            in them, -1 for none, (Q,) int64 on the CPU. In one, so that no interrupt parts
            them.
        finished: Masks of the image's size by query, as many as there is room for.
    """

    scores: Tensor
    boxes_cxcywh: Tensor
    mask_head_inputs: dict[str, Any]
    masks: tuple[Tensor, Tensor] | None = None
    finished: dict[int, PackedMask] = dataclasses.field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes it keeps alive, the image's own features apart."""
        own = {k: v for k, v in self.mask_head_inputs.items() if k != "backbone_feats"}
        finished = sum(mask.bits.nbytes for mask in self.finished.values())
        return tensor_bytes([self.scores, self.boxes_cxcywh, own, self.masks]) + finished


def instances_of(
    model: Sam3Image,
    grounding: Grounding,
    class_index: int,
    threshold: float,
    image_hw: tuple[int, int],
    chunk_bytes: int = CHUNK_BYTES,
    with_masks: bool = True,
) -> list[Instance]:
    """Instances of one concept above a threshold, by falling score.

    Args:
        model: The model.
        grounding: What was decoded for the concept.
        class_index: The concept's index.
        threshold: Instances at or below it are left out.
        image_hw: Size of the masks, in pixels.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.
        with_masks: False to leave the masks empty and not run the mask head.

    Returns:
        The instances. No network runs when none is above the threshold, or when the masks
        are there from an earlier call.
    """
    kept = (grounding.scores > threshold).nonzero().squeeze(1)
    if not len(kept):
        return []
    kept = kept[grounding.scores[kept].argsort(descending=True, stable=True)]
    if with_masks:
        masks = _masks(model, grounding, kept, threshold, image_hw, chunk_bytes)
    else:
        masks = [Mask(image_hw, (0, 0), np.zeros((0, 0), bool))] * len(kept)
    height, width = image_hw
    boxes = box_cxcywh_to_xyxy(grounding.boxes_cxcywh[kept])
    boxes = boxes * torch.tensor([width, height, width, height])
    return [
        Instance(class_index=class_index, score=score, box_xyxy=_box(box), mask=mask)
        for score, box, mask in zip(
            grounding.scores[kept].tolist(), boxes.tolist(), masks, strict=True
        )
    ]


def _masks(
    model: Sam3Image,
    grounding: Grounding,
    kept: Tensor,
    threshold: float,
    image_hw: tuple[int, int],
    chunk_bytes: int,
) -> list[Mask]:
    """Masks of some queries, those finished before as they are."""
    known = grounding.finished
    queries = kept.tolist()
    new = [query for query in queries if query not in known]
    made: dict[int, Mask] = {}
    if new:
        logits = _mask_logits(model, grounding, torch.tensor(new), threshold)
        masks = upscaled_probability_masks(logits, image_hw, chunk_bytes)
        made = dict(zip(new, masks, strict=True))
        grounding.finished = _with_room_for(known, made)
    return [made[query] if query in made else known[query].unpacked() for query in queries]


def _with_room_for(known: dict[int, PackedMask], made: dict[int, Mask]) -> dict[int, PackedMask]:
    """The masks known and as many of the new ones as :data:`MAX_FINISHED_BYTES` allows."""
    finished = dict(known)
    free = MAX_FINISHED_BYTES - sum(mask.bits.nbytes for mask in known.values())
    for query, mask in made.items():
        free -= -(-mask.crop.size // 8)
        if free < 0:
            break
        finished[query] = PackedMask.of(mask)
    return finished


def _mask_logits(model: Sam3Image, grounding: Grounding, kept: Tensor, threshold: float) -> Tensor:
    if grounding.masks is None or bool((grounding.masks[1][kept] < 0).any()):
        found = model.segmentation_head(**grounding.mask_head_inputs)["pred_masks"][0]
        wanted = (grounding.scores > min(threshold, MASK_FLOOR)).nonzero().squeeze(1)
        rows = torch.full_like(grounding.scores, -1, dtype=torch.long)
        rows[wanted] = torch.arange(len(wanted))
        grounding.masks = found[on_device(wanted, found.device)], rows
    logits, rows = grounding.masks
    return logits[on_device(rows[kept], logits.device)]


def _box(box: list[float]) -> BoxXyxy:
    left, top, right, bottom = box
    return left, top, right, bottom
