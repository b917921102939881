"""Builds and initializes the model for training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...engine.model.build import build_model
from ...engine.model.config import Architecture
from ...engine.model.sam3_imports import Sam3Image

TRACKER = "inst_interactive_predictor.model."
TRACKER_NECK = "backbone.vision_backbone.sam2_convs."
HEADS = "training_heads"
"""Name of the part of the model that only the training has."""

HEADS_RATE = 4.0
"""Factor on the learning rate of these."""

_MEMORY = (
    "transformer.",
    "maskmem",
    "mask_downsample.",
    "obj_ptr",
    "no_obj",
    "no_mem_pos_enc",
    "sam_mask_decoder.obj_score_token.",
    "sam_mask_decoder.pred_obj_score_head.",
)
"""Parts of the tracker that only videos use."""


def is_memory(name: str) -> bool:
    """Tells whether only videos use a parameter."""
    return name.startswith(tuple(TRACKER + part for part in _MEMORY))


def initialize_weights(model: Sam3Image) -> None:
    """Initializes the weights; parts that are hard to train start near a solution."""
    text = model.backbone.language_backbone.encoder
    nn.init.normal_(text.positional_embedding, std=0.02)
    nn.init.normal_(text.text_projection, std=0.1)
    # Frozen: a dozen words are told apart as well by random vectors, and the table is half
    # of the model.
    nn.init.normal_(text.token_embedding.weight, std=0.3)
    text.token_embedding.weight.requires_grad_(False)
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or parameter.abs().max() > 1e3:
            nn.init.normal_(parameter, std=0.02)
    with torch.no_grad():
        decoder = model.transformer.decoder
        per_side = math.ceil(math.sqrt(decoder.num_queries))
        ticks = (torch.arange(per_side) + 0.5) / per_side
        centers = torch.cartesian_prod(ticks, ticks)[: decoder.num_queries]
        sizes = torch.full_like(centers, 0.2)
        decoder.reference_points.weight.copy_(torch.logit(torch.cat([centers, sizes], dim=1)))
        # A click must first find its own place: begin with queries and keys that compare
        # positions with the same projection.
        two_way = model.inst_interactive_predictor.model.sam_mask_decoder.transformer
        attentions = [two_way.final_attn_token_to_image]
        for layer in two_way.layers:
            attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
        for attention in attentions:
            nn.init.orthogonal_(attention.q_proj.weight, gain=1.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()
        # At first the tracker must predict that objects are there, and write more than a
        # millionth of its features into its memory.
        tracker = model.inst_interactive_predictor.model
        tracker.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(6.0)
        for layer in tracker.maskmem_backbone.fuser.layers:
            layer.gamma.fill_(0.1)
        # Memory attention must first find what looks the same: remember features as they
        # are, and compare them with the same projection. Without that it learns to look at
        # the same place only.
        tracker.maskmem_backbone.pix_feat_proj.weight.copy_(
            torch.eye(tracker.hidden_dim)[..., None, None]
        )
        tracker.maskmem_backbone.pix_feat_proj.bias.zero_()
        for layer in tracker.transformer.encoder.layers:
            attention = layer.cross_attn_image
            nn.init.orthogonal_(attention.q_proj.weight, gain=1.3)
            attention.k_proj.weight.copy_(attention.q_proj.weight[:, : attention.kv_in_dim])
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()
            nn.init.orthogonal_(attention.v_proj.weight)
            nn.init.orthogonal_(attention.out_proj.weight)


def build_training_model(architecture: Architecture, device: torch.device) -> Sam3Image:
    """Builds the model with the outputs that only training needs.

    Its children stay in eval mode: there is no dropout to switch, and their activation
    checkpointing would only cost time at this size.
    """
    model = build_model(architecture).to(device)
    model.training = True
    model.use_act_checkpoint_seg_head = False
    return model


def drop_rotary_tables(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drops the rotary tables, which depend on the side of the input."""
    return {name: value for name, value in state.items() if "freqs_cis" not in name}


def choose_part(name: str) -> str:
    """Tells the part of a parameter, each with a rate of its own: heads, neck, memory, known."""
    if name.startswith(HEADS):
        return "heads"
    if name.startswith(TRACKER_NECK):
        return "neck"
    return "memory" if is_memory(name) else "known"
