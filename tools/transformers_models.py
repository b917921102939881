"""SAM 3 as the ``transformers`` library implements it, with random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Sam3VideoConfig, Sam3VideoModel

from ..engine.model.config import TINY_SHAPES, Architecture

SMALL = dataclasses.replace(TINY_SHAPES, width=128, memory_width=64, memory_layers=2)
"""The small model with the sizes that ``transformers`` cannot change."""

NO_BOX = ([[0.0, 0.0, 0.0, 0.0]], [-10])
"""A padded box and its label: without any, transformers leaves out a token that Meta's code
always adds."""


def make_config(a: Architecture) -> Sam3VideoConfig:
    """Describes a model of these sizes for ``transformers``."""
    side = a.patches_per_side
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": a.vit_width,
            "intermediate_size": int(a.vit_width * a.vit_mlp_ratio),
            "num_hidden_layers": a.vit_depth,
            "num_attention_heads": a.vit_heads,
            "image_size": a.image_size,
            "window_size": a.vit_window,
            "global_attn_indexes": list(a.vit_global_blocks),
            "pretrain_image_size": a.pretrain_image_size,
        },
        "fpn_hidden_size": a.width,
        "backbone_feature_sizes": [[4 * side] * 2, [2 * side] * 2, [side] * 2],
    }
    layer = {
        "hidden_size": a.width,
        "num_attention_heads": a.heads,
        "intermediate_size": a.feedforward_width,
    }
    detector = {
        "model_type": "sam3",
        "vision_config": vision,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": 49408,
            "hidden_size": a.text_width,
            "intermediate_size": 4 * a.text_width,
            "projection_dim": 512,
            "num_hidden_layers": a.text_layers,
            "num_attention_heads": a.text_heads,
            "max_position_embeddings": 32,
            "hidden_act": "gelu",
        },
        "geometry_encoder_config": {"num_layers": a.geometry_layers, **layer},
        "detr_encoder_config": {"num_layers": a.encoder_layers, **layer},
        "detr_decoder_config": {
            "num_layers": a.decoder_layers,
            "num_queries": a.queries,
            **layer,
        },
        "mask_decoder_config": {"hidden_size": a.width, "num_attention_heads": a.heads},
    }
    tracker = {
        "model_type": "sam3_tracker_video",
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": a.width, "image_size": a.image_size},
        "mask_decoder_config": {
            "hidden_size": a.width,
            "mlp_dim": a.mask_decoder_mlp,
            "num_attention_heads": a.mask_decoder_heads,
            "iou_head_hidden_dim": a.iou_head_width,
        },
        "memory_attention_hidden_size": a.width,
        "memory_attention_num_layers": a.memory_layers,
        "memory_attention_feed_forward_hidden_size": a.feedforward_width,
        "memory_attention_rope_feat_sizes": [side, side],
        "memory_encoder_hidden_size": a.width,
        "memory_encoder_output_channels": a.memory_width,
        "mask_downsampler_embed_dim": a.width,
        "memory_fuser_embed_dim": a.width,
        "memory_fuser_intermediate_dim": 4 * a.width,
        "memory_fuser_num_layers": a.memory_fuser_layers,
        "image_size": a.image_size,
    }
    return Sam3VideoConfig(
        detector_config=detector, tracker_config=tracker, low_res_mask_size=4 * side
    )


def make_video_model(a: Architecture, seed: int = 0) -> Sam3VideoModel:
    """Builds a model in which no two weights of one shape are equal, zero or negligible.

    The library's own initialization leaves biases at zero, and logits so small that they
    would agree within any tolerance.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Sam3VideoModel(make_config(a)).eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.ndim < 2:
                # The library leaves some uninitialized: whatever the memory held before.
                if not bool((parameter.abs() <= 1).all()):
                    parameter.zero_()
                parameter += 0.1 * torch.randn_like(parameter)
            else:
                nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)
        tracker = model.tracker_model
        embedding = tracker.prompt_encoder.shared_embedding.positional_embedding
        nn.init.normal_(embedding)
        # One and the same in Meta's model.
        tracker.shared_image_embedding.positional_embedding.copy_(embedding)
    return model


def save_as_released(model: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a model with the names that ``facebook/sam3`` has, and its configuration.

    ``save_pretrained`` of transformers 5.24 writes the prefix ``tracker_model.`` twice, which
    its own ``from_pretrained`` does not find.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.to(dtype).clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    return folder / "model.safetensors"
