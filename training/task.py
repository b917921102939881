"""Computes the loss of a training step, as the ``transformers`` Trainer asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .concept_route import PromptBatch, run_concept_route
from .features import TextCache, compute_detector_features, encode_trunk
from .losses import ConceptCriterion
from .parts import AdaptedModel


class ConceptTask(nn.Module):
    """Runs prompts on images, encoded or not, and returns their loss."""

    def __init__(self, adapted: AdaptedModel, queries: int) -> None:
        """Prepares an adapted model for training.

        Its children stay in eval mode: dropout would make the adapter differ from the one that
        is scored, and there is little data to overfit on with few parameters.

        Args:
            adapted: The model.
            queries: Its number of queries.
        """
        super().__init__()
        self.peft_model = adapted.adapted
        self.adapted = adapted
        self.criterion = ConceptCriterion(queries)
        self.texts = TextCache(adapted.model)
        adapted.model.use_act_checkpoint_seg_head = False

    def train(self, mode: bool = True) -> ConceptTask:
        """Switches the outputs that only losses need on or off."""
        super().train(False)
        self.training = mode
        self.adapted.model.training = mode
        return self

    def forward(
        self,
        images: Tensor,
        prompts: PromptBatch,
        targets: dict[str, Any],
        masked: int,
    ) -> dict[str, Tensor]:
        """Computes the loss of a batch.

        Args:
            images: (B, C, h, w) the trunk's output, or (B, 3, S, S) uint8 pixels.
            prompts: P prompts on them.
            targets: Of :func:`.losses.pack_targets`.
            masked: How many of the first prompts get masks.

        Returns:
            ``loss``.
        """
        losses = self.compute_losses(images, prompts, targets, masked)
        return {"loss": losses["core_loss"]}

    def compute_losses(
        self, images: Tensor, prompts: PromptBatch, targets: Mapping[str, Any], masked: int
    ) -> dict[str, Tensor]:
        """Computes every loss of a batch by name, see :meth:`forward`."""
        model = self.adapted.model
        trunk = encode_trunk(model, images) if images.dtype == torch.uint8 else images
        features = compute_detector_features(model, trunk)
        chosen = torch.arange(masked, device=images.device)
        outputs = run_concept_route(model, features, prompts, chosen, self.texts.encode)
        losses: dict[str, Tensor] = self.criterion(_to_float32(outputs), dict(targets))
        return losses


def _to_float32(outputs: dict[str, Any]) -> dict[str, Any]:
    """Converts what autocast left in bfloat16: matching and losses are computed in float32."""

    def convert(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.float() if value.is_floating_point() else value
        if isinstance(value, dict):
            return {name: convert(part) for name, part in value.items()}
        return [convert(part) for part in value] if isinstance(value, list) else value

    return {name: convert(value) for name, value in outputs.items()}
