"""Chooses what is trained, and adapts it with LoRA of the ``peft`` library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..engine.model.sam3_imports import Sam3Image
from .options import PART_NAMES
from .requirements import require

_FUSION = r"transformer\.encoder\.layers\.\d+\.(self_attn|cross_attn_image|linear1|linear2)"
_DETECTOR = "|".join(
    (
        _FUSION,
        r"transformer\.decoder\.layers\.\d+\.(self_attn|cross_attn|ca_text|linear1|linear2)",
        r"transformer\.decoder\.(bbox_embed|presence_token_head)\.layers\.\d+",
        r"geometry_encoder\.encode\.\d+\.(self_attn|cross_attn_image)",
        r"dot_prod_scoring\.(prompt_mlp\.layers\.\d+|prompt_proj|hs_proj)",
        r"segmentation_head\.(cross_attend_prompt|instance_seg_head)",
        r"segmentation_head\.mask_predictor\.mask_embed\.layers\.\d+",
    )
)
_IMAGE = r"backbone\.vision_backbone\.trunk\.blocks\.\d+\.(attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)"

PARTS = dict(zip(PART_NAMES, (_DETECTOR, _FUSION, f"{_DETECTOR}|{_IMAGE}"), strict=True))
"""Modules of each choice of ``--parts``."""


def trains_image_encoder(parts: str) -> bool:
    """Tells whether a choice trains the image encoder, so that nothing of it can be kept."""
    return parts == "detector+image"


class AdaptedModel:
    """Holds a model whose chosen parts have LoRA factors of ``peft``.

    Attributes:
        model: The model; its modules are replaced in place.
        adapted: peft's view of it.
    """

    def __init__(self, model: Sam3Image, parts: str, rank: int, alpha: int) -> None:
        """Adds factors that change nothing yet.

        Args:
            model: A model with frozen weights.
            parts: A key of :data:`PARTS`.
            rank: Of the factors.
            alpha: Their scale is alpha / rank.

        Raises:
            ImportError: If peft is not installed.
        """
        require("peft")
        import peft

        config = peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=f"({PARTS[parts]})", bias="none"
        )
        self.model = model
        self.adapted: Any = peft.get_peft_model(model, config)
        self._kept: list[tuple[nn.Module, str, Tensor]] = []
        for module in model.modules():
            if isinstance(module, peft.tuners.lora.layer.MultiheadAttention):
                attention = module.get_base_layer()
                output = attention.out_proj.get_base_layer()
                self._kept.append((attention, "in_proj_weight", attention.in_proj_weight.data))
                self._kept.append((output, "weight", output.weight.data))

    def restore_base(self) -> None:
        """Gives each attention its own weights back.

        peft adds the update to them before a call and subtracts it afterwards, in float32, so
        that they drift by about 1e-6 in a thousand steps.
        """
        for module, name, weight in self._kept:
            getattr(module, name).data = weight

    def count_trained(self) -> int:
        """Counts the trained parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def save(self, folder: str) -> None:
        """Writes peft's own folder."""
        self.adapted.save_pretrained(folder)

    def load(self, folder: str) -> None:
        """Reads the factors that :meth:`save` wrote."""
        import peft

        device = str(next(self.model.parameters()).device)
        weights = peft.load_peft_weights(folder, device=device)
        with torch.no_grad():
            peft.set_peft_model_state_dict(self.adapted, weights)
