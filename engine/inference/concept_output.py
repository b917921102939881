"""Keeps the detector's output for one concept on one image, and makes instances from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.errors import NonFiniteOutputError
from ..model.sam3_imports import Sam3Image, box_cxcywh_to_xyxy
from ..postprocess.masks import move_to_device, upscale_probability_masks
from ..results import BoxXyxy, Instance, Mask, PackedMask
from ..runtime.memory import CHUNK_BYTES
from .cache import count_tensor_bytes

MASK_FLOOR = 0.05
"""Mask logits of queries above this score are kept: a lower threshold needs no mask head until it
is below this."""

MAX_FINISHED_BYTES = 64 * 1024**2
"""Bytes of full-size masks kept for each concept, to be used again for another threshold."""


@dataclasses.dataclass
class ConceptOutput:
    """The detector's output for one concept on one image; masks follow when they are needed.

    Attributes:
        scores: (Q,) float32, presence score times query score, on the CPU.
        boxes_cxcywh: (Q, 4) float32, normalized, on the CPU.
        mask_head_inputs: Inputs of the mask head, on the model's device.
        masks: Once computed: logits (Q', g, g) of some queries, and for each query its row
            in them, -1 for none, (Q,) int64 on the CPU. One value, so that an interrupt cannot
            separate them.
        finished: Masks of the image's size by query, up to :data:`MAX_FINISHED_BYTES`.
    """

    scores: Tensor
    boxes_cxcywh: Tensor
    mask_head_inputs: dict[str, Any]
    masks: tuple[Tensor, Tensor] | None = None
    finished: dict[int, PackedMask] = dataclasses.field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes it keeps in memory, without the image's own features."""
        own = {k: v for k, v in self.mask_head_inputs.items() if k != "backbone_feats"}
        finished = sum(len(mask.bits) for mask in self.finished.values())
        return count_tensor_bytes([self.scores, self.boxes_cxcywh, own, self.masks]) + finished


def check_finite(tensors: Iterable[Tensor], what: str, weights_name: str) -> None:
    """Raises NonFiniteOutputError if a tensor holds NaN or infinity.

    Args:
        tensors: Output of the model. On a GPU the host waits for them.
        what: What the error calls them.
        weights_name: What the error calls the weights.
    """
    # The extremes are NaN if one value is.
    extremes = (torch.stack(tensor.aminmax()) for tensor in tensors if tensor.numel())
    if not all(bool(torch.isfinite(pair).all()) for pair in extremes):
        raise NonFiniteOutputError(
            f"{weights_name}: the model's {what} are not finite (NaN or infinity). The weights "
            "are damaged or do not fit this precision: set precision to float32, or use "
            "another file in model_weight_file."
        )


def make_instances(
    model: Sam3Image,
    output: ConceptOutput,
    class_index: int,
    threshold: float,
    image_hw: tuple[int, int],
    weights_name: str = "the weights",
    chunk_bytes: int = CHUNK_BYTES,
    with_masks: bool = True,
) -> list[Instance]:
    """Makes the instances of one concept above a threshold, by falling score.

    The mask head runs if a mask is needed that no earlier call has computed: not if no score
    is above the threshold, nor for another threshold that is not below :data:`MASK_FLOOR`.

    Args:
        model: The model.
        output: The detector's output for the concept.
        class_index: The concept's index.
        threshold: Queries with this score or a lower one are left out.
        image_hw: Size of the masks, in pixels.
        weights_name: What errors call the weights.
        chunk_bytes: Bound on the float32 masks in memory at a time; at least one is made.
        with_masks: False to leave the masks empty and not run the mask head.

    Returns:
        The instances.

    Raises:
        NonFiniteOutputError: If mask logits are NaN or infinite.
    """
    kept = (output.scores > threshold).nonzero().squeeze(1)
    if not len(kept):
        return []
    kept = kept[output.scores[kept].argsort(descending=True, stable=True)]
    if with_masks:
        masks = _make_masks(model, output, kept, threshold, image_hw, weights_name, chunk_bytes)
    else:
        masks = [Mask(image_hw, (0, 0), np.zeros((0, 0), bool))] * len(kept)
    height, width = image_hw
    boxes = box_cxcywh_to_xyxy(output.boxes_cxcywh[kept])
    boxes = boxes * torch.tensor([width, height, width, height])
    return [
        Instance(class_index=class_index, score=score, box_xyxy=_to_box(box), mask=mask)
        for score, box, mask in zip(
            output.scores[kept].tolist(), boxes.tolist(), masks, strict=True
        )
    ]


def _make_masks(
    model: Sam3Image,
    output: ConceptOutput,
    kept: Tensor,
    threshold: float,
    image_hw: tuple[int, int],
    weights_name: str,
    chunk_bytes: int,
) -> list[Mask]:
    """Makes the masks of some queries; those made before are only unpacked."""
    known = output.finished
    queries = kept.tolist()
    new = [query for query in queries if query not in known]
    made: dict[int, Mask] = {}
    if new:
        logits = _select_mask_logits(model, output, torch.tensor(new), threshold)
        masks = list(upscale_probability_masks(logits, image_hw, chunk_bytes))
        # After the masks, which a GPU was waited for anyway.
        check_finite([logits], "mask logits", weights_name)
        made = dict(zip(new, masks, strict=True))
        output.finished = _add_while_room(known, made)
    return [made[query] if query in made else known[query].unpack() for query in queries]


def _add_while_room(known: dict[int, PackedMask], made: dict[int, Mask]) -> dict[int, PackedMask]:
    """Joins known masks and as many new ones as :data:`MAX_FINISHED_BYTES` allows."""
    finished = dict(known)
    free = MAX_FINISHED_BYTES - sum(len(mask.bits) for mask in known.values())
    for query, mask in made.items():
        free -= -(-mask.crop.size // 8)
        if free < 0:
            break
        finished[query] = PackedMask.from_mask(mask)
    return finished


def _select_mask_logits(
    model: Sam3Image, output: ConceptOutput, kept: Tensor, threshold: float
) -> Tensor:
    """Selects the mask logits of some queries; runs the mask head if some are not kept."""
    if output.masks is None or bool((output.masks[1][kept] < 0).any()):
        found = model.segmentation_head(**output.mask_head_inputs)["pred_masks"][0]
        wanted = (output.scores > min(threshold, MASK_FLOOR)).nonzero().squeeze(1)
        rows = torch.full_like(output.scores, -1, dtype=torch.long)
        rows[wanted] = torch.arange(len(wanted))
        output.masks = found[move_to_device(wanted, found.device)], rows
    logits, rows = output.masks
    return logits[move_to_device(rows[kept], logits.device)]


def _to_box(box: list[float]) -> BoxXyxy:
    left, top, right, bottom = box
    return left, top, right, bottom
