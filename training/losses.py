"""Computes the loss of concept prompts with the matcher and the losses of ``sam3.train``.

The weights are those of the recipe that the package's authors published for fine-tuning.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..engine.runtime.isolation import import_sam3
from .requirements import require

ONE_TO_MANY_WEIGHT = 2.0

_focal_lock = threading.RLock()


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """Holds the objects that one prompt should find.

    Attributes:
        cxcywh: Boxes, (N, 4) float32, normalized.
        masks: (N, M, M) bool on the mask grid.
        has_mask: Which of the masks are known, (N,) bool.
        is_exhaustive: Whether all objects that the prompt means are among them.
    """

    cxcywh: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]
    has_mask: npt.NDArray[np.bool_]
    is_exhaustive: bool = True

    @classmethod
    def make(
        cls,
        cxcywh: npt.NDArray[np.float32],
        masks: npt.NDArray[np.bool_],
        is_exhaustive: bool = True,
    ) -> Targets:
        """Makes targets whose empty masks are unknown ones."""
        known = np.array([mask.any() for mask in masks], bool)
        return cls(cxcywh, masks, known, is_exhaustive)

    def mirror(self) -> Targets:
        """Returns them with left and right swapped."""
        cxcywh = self.cxcywh.copy()
        cxcywh[:, 0] = 1 - cxcywh[:, 0]
        return dataclasses.replace(self, cxcywh=cxcywh, masks=self.masks[..., ::-1])


def pack_targets(targets: Sequence[Targets]) -> dict[str, Any]:
    """Packs the targets of P prompts as the package's losses take them."""
    from sam3.model.box_ops import box_cxcywh_to_xyxy
    from sam3.train.data.collator import packed_to_padded_naive

    counts = torch.tensor([len(t.cxcywh) for t in targets])
    boxes = torch.from_numpy(np.concatenate([t.cxcywh for t in targets]))
    ids = torch.cat([torch.arange(len(t.cxcywh)) for t in targets])
    has_mask = torch.from_numpy(np.concatenate([t.has_mask for t in targets]))
    masks = np.concatenate([np.ascontiguousarray(t.masks) for t in targets])
    return {
        "boxes": boxes,
        "boxes_xyxy": box_cxcywh_to_xyxy(boxes),
        "boxes_padded": packed_to_padded_naive(boxes, counts),
        "positive_map": torch.ones(len(boxes), 1),
        "num_boxes": counts,
        "masks": torch.from_numpy(masks),
        "semantic_masks": None,
        "is_valid_mask": has_mask,
        "is_exhaustive": torch.tensor([t.is_exhaustive for t in targets]),
        "object_ids_packed": ids,
        "object_ids_padded": packed_to_padded_naive(ids, counts, fill_value=-1),
    }


class ConceptCriterion(nn.Module):
    """Matches queries to objects, and computes the weighted sum of all losses."""

    def __init__(self, queries: int) -> None:
        """Makes the package's matchers and losses.

        Args:
            queries: Number of queries of the model.

        Raises:
            ImportError: If what the losses need is not installed.
        """
        super().__init__()
        import_sam3()
        require("torchmetrics")
        from sam3.train.loss.loss_fns import Boxes, IABCEMdetr, Masks
        from sam3.train.loss.sam3_loss import Sam3LossWrapper
        from sam3.train.matcher import BinaryHungarianMatcherV2, BinaryOneToManyMatcher

        self.matcher = BinaryHungarianMatcherV2(
            cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, focal=True, alpha=0.25, gamma=2
        )
        boxes = Boxes(weight_dict={"loss_bbox": 5.0, "loss_giou": 2.0})
        classes = IABCEMdetr(
            pos_weight=10.0,
            weight_dict={"loss_ce": 20.0, "presence_loss": 20.0},
            alpha=0.25,
            gamma=2,
            weak_loss=True,
            use_presence=True,
            pad_n_queries=queries,
        )
        masks = Masks(weight_dict={"loss_mask": 200.0, "loss_dice": 10.0})

        def wrap(losses: list[nn.Module]) -> nn.Module:
            wrapper: nn.Module = Sam3LossWrapper(
                losses,
                normalization="local",
                matcher=self.matcher,
                o2m_matcher=BinaryOneToManyMatcher(alpha=0.3, threshold=0.4, topk=4),
                o2m_weight=ONE_TO_MANY_WEIGHT,
                use_o2m_matcher_on_o2m_aux=False,
            )
            return wrapper

        self.with_masks = wrap([boxes, classes, masks])
        self.without_masks = wrap([boxes, classes])

    def forward(self, outputs: dict[str, Any], targets: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the losses.

        Args:
            outputs: Of :func:`.concept_route.run_concept_route`, in training. Prompts with masks
                come first, and masks were predicted for all prompts with objects or for none.
            targets: Of :func:`pack_targets`.

        Returns:
            Each loss by name; ``core_loss`` is their weighted sum.
        """
        wrapper = self.with_masks if "pred_masks" in outputs else self.without_masks
        with compute_focal_loss_on(targets["boxes"].device):
            outputs["indices"] = self.matcher(outputs, targets)
            for layer in outputs["aux_outputs"]:
                layer["indices"] = self.matcher(layer, targets)
            losses: dict[str, Tensor] = wrapper.compute_loss(outputs, targets)
        return losses


@contextlib.contextmanager
def compute_focal_loss_on(device: torch.device) -> Iterator[None]:
    """Lets the package's losses compute the focal loss on a CPU, while the block runs.

    The package computes it by Triton, which needs a GPU. It takes no other function, so that of
    torchvision stands in its module's names, for one thread at a time.
    """
    if device.type == "cuda":
        yield
        return
    from sam3.train.loss import loss_fns
    from torchvision.ops import sigmoid_focal_loss

    def compute(inputs: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
        return sigmoid_focal_loss(inputs, targets, alpha, gamma)

    def compute_sum(inputs: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
        return sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction="sum")

    with _focal_lock:
        before = loss_fns.triton_sigmoid_focal_loss, loss_fns.triton_sigmoid_focal_loss_reduce
        loss_fns.triton_sigmoid_focal_loss = compute
        loss_fns.triton_sigmoid_focal_loss_reduce = compute_sum
        try:
            yield
        finally:
            loss_fns.triton_sigmoid_focal_loss = before[0]
            loss_fns.triton_sigmoid_focal_loss_reduce = before[1]
