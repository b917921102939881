"""Translates the weight names of SAM 3 in ``transformers`` to the names of the model here.

The tables follow from the modules of both implementations (``transformers`` 5.24,
``models/sam3*/modeling_*.py``; ``sam3`` 0.1.4). Two files are known under these names: one
of ``Sam3VideoModel`` (``facebook/sam3``'s ``model.safetensors``), whose names start with
``detector_model.``, ``tracker_model.`` or ``tracker_neck.``, and one of a bare ``Sam3Model``,
``Sam3TrackerModel`` or ``Sam3TrackerVideoModel`` without these prefixes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor

BARE_DETECTOR_PREFIXES = ("detr_encoder.", "detr_decoder.", "text_encoder.")
"""Names that only a bare ``Sam3Model`` starts with."""

BARE_TRACKER_PREFIXES = ("shared_image_embedding.", "prompt_encoder.", "no_memory_embedding")
"""Names that only a bare ``Sam3TrackerModel`` starts with."""

_TRACKER = "inst_interactive_predictor.model."
_POINT_EMBEDDING = _TRACKER + "sam_prompt_encoder.point_embeddings"

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Image encoder.
        (r"^detector_model\.vision_encoder\.neck\.", "backbone.vision_backbone.convs."),
        (r"^tracker_neck\.", "backbone.vision_backbone.sam2_convs."),
        (r"convs\.fpn_layers\.", "convs."),
        (r"(convs\.0)\.scale_layers\.0\.", r"\1.dconv_2x2_0."),
        (r"(convs\.0)\.scale_layers\.2\.", r"\1.dconv_2x2_1."),
        (r"(convs\.1)\.scale_layers\.0\.", r"\1.dconv_2x2."),
        (r"(convs\.\d+)\.proj1\.", r"\1.conv_1x1."),
        (r"(convs\.\d+)\.proj2\.", r"\1.conv_3x3."),
        (r"^detector_model\.vision_encoder\.backbone\.", "backbone.vision_backbone.trunk."),
        (r"trunk\.embeddings\.patch_embeddings\.projection\.", "trunk.patch_embed.proj."),
        (r"trunk\.embeddings\.position_embeddings$", "trunk.pos_embed"),
        (r"trunk\.layer_norm\.", "trunk.ln_pre."),
        (r"trunk\.layers\.(\d+)\.layer_norm(\d)\.", r"trunk.blocks.\1.norm\2."),
        (r"trunk\.layers\.(\d+)\.attention\.o_proj\.", r"trunk.blocks.\1.attn.proj."),
        (r"trunk\.layers\.(\d+)\.attention\.", r"trunk.blocks.\1.attn.qkv."),
        (r"trunk\.layers\.(\d+)\.", r"trunk.blocks.\1."),
        # Text encoder.
        (r"^detector_model\.text_projection\.", "backbone.language_backbone.resizer."),
        (r"^detector_model\.text_encoder\.", "backbone.language_backbone.encoder."),
        (r"encoder\.text_projection\.weight$", "encoder.text_projection"),
        (r"text_model\.embeddings\.token_embedding\.", "token_embedding."),
        (r"text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
        (r"text_model\.final_layer_norm\.", "ln_final."),
        (r"text_model\.encoder\.layers\.", "transformer.resblocks."),
        (r"(resblocks\.\d+)\.layer_norm(\d)\.", r"\1.ln_\2."),
        (r"(resblocks\.\d+)\.self_attn\.", r"\1.attn."),
        (r"(resblocks\.\d+)\.mlp\.fc1\.", r"\1.mlp.c_fc."),
        (r"(resblocks\.\d+)\.mlp\.fc2\.", r"\1.mlp.c_proj."),
        # Detector.
        (r"^detector_model\.detr_(encoder|decoder)\.", r"transformer.\1."),
        (r"^transformer\.decoder\.box_head\.", "transformer.decoder.bbox_embed."),
        (r"^transformer\.decoder\.box_rpb_embed_", "transformer.decoder.boxRPB_embed_"),
        (r"\.presence_head\.", ".presence_token_head."),
        (r"\.presence_layer_norm\.", ".presence_token_out_norm."),
        (r"^transformer\.decoder\.output_layer_norm\.", "transformer.decoder.norm."),
        (r"\.vision_cross_attn_layer_norm\.", ".norm1."),
        (r"\.self_attn_layer_norm\.", ".norm2."),
        (r"\.text_cross_attn_layer_norm\.", ".catext_norm."),
        (r"\.mlp_layer_norm\.", ".norm3."),
        (r"\.text_cross_attn\.", ".ca_text."),
        (r"\.vision_cross_attn\.", ".cross_attn."),
        (r"^detector_model\.geometry_encoder\.", "geometry_encoder."),
        (r"^geometry_encoder\.layers\.", "geometry_encoder.encode."),
        (r"^geometry_encoder\.output_layer_norm\.", "geometry_encoder.encode_norm."),
        (r"^geometry_encoder\.prompt_layer_norm\.", "geometry_encoder.norm."),
        (r"^geometry_encoder\.vision_layer_norm\.", "geometry_encoder.img_pre_norm."),
        (
            r"^(transformer\.encoder\.layers\.\d+|geometry_encoder\.encode\.\d+)\.cross_attn\.",
            r"\1.cross_attn_image.",
        ),
        (r"^((?:transformer|geometry_encoder)\..*\d)\.layer_norm(\d)\.", r"\1.norm\2."),
        (r"^((?:transformer|geometry_encoder)\..*\d)\.mlp\.fc(\d)\.", r"\1.linear\2."),
        (r"^detector_model\.dot_product_scoring\.", "dot_prod_scoring."),
        (r"^dot_prod_scoring\.query_proj\.", "dot_prod_scoring.hs_proj."),
        (r"^dot_prod_scoring\.text_proj\.", "dot_prod_scoring.prompt_proj."),
        (r"^dot_prod_scoring\.text_mlp_out_norm\.", "dot_prod_scoring.prompt_mlp.out_norm."),
        (r"^dot_prod_scoring\.text_mlp\.", "dot_prod_scoring.prompt_mlp."),
        (r"^detector_model\.mask_decoder\.", "segmentation_head."),
        (r"^segmentation_head\.instance_projection\.", "segmentation_head.instance_seg_head."),
        (r"^segmentation_head\.semantic_projection\.", "segmentation_head.semantic_seg_head."),
        (r"^segmentation_head\.mask_embedder\.", "segmentation_head.mask_predictor.mask_embed."),
        (r"^segmentation_head\.prompt_cross_attn\.", "segmentation_head.cross_attend_prompt."),
        (r"^segmentation_head\.prompt_cross_attn_norm\.", "segmentation_head.cross_attn_norm."),
        # Tracker: prompt encoder and mask decoder.
        (r"^tracker_model\.", _TRACKER),
        (r"model\.mask_decoder\.", "model.sam_mask_decoder."),
        (r"\.transformer\.layer_norm_final_attn\.", ".transformer.norm_final_attn."),
        (r"(sam_mask_decoder\..*\d)\.layer_norm(\d)\.", r"\1.norm\2."),
        (r"(sam_mask_decoder\.transformer\..*)\.mlp\.proj_in\.", r"\1.mlp.lin1."),
        (r"(sam_mask_decoder\.transformer\..*)\.mlp\.proj_out\.", r"\1.mlp.lin2."),
        (r"\.upscale_conv1\.", ".output_upscaling.0."),
        (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
        (r"\.upscale_conv2\.", ".output_upscaling.3."),
        (r"model\.prompt_encoder\.", "model.sam_prompt_encoder."),
        (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
        (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
        (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
        (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
        (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
        (
            r"model\.(sam_prompt_encoder\.shared_embedding|shared_image_embedding)"
            r"\.positional_embedding$",
            "model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        ),
        # Tracker: memory of videos.
        (r"model\.memory_attention\.", "model.transformer.encoder."),
        (r"(model\.transformer\.encoder\.layers\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
        (r"model\.transformer\.encoder\.layer_norm\.", "model.transformer.encoder.norm."),
        (r"model\.memory_encoder\.", "model.maskmem_backbone."),
        (r"maskmem_backbone\.feature_projection\.", "maskmem_backbone.pix_feat_proj."),
        (r"maskmem_backbone\.projection\.", "maskmem_backbone.out_proj."),
        (r"maskmem_backbone\.memory_fuser\.", "maskmem_backbone.fuser."),
        (r"(fuser\.layers\.\d+)\.depthwise_conv\.", r"\1.dwconv."),
        (r"(fuser\.layers\.\d+)\.layer_norm\.", r"\1.norm."),
        (r"(fuser\.layers\.\d+)\.pointwise_conv(\d)\.", r"\1.pwconv\2."),
        (r"(fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
        (r"model\.object_pointer_proj\.", "model.obj_ptr_proj."),
        (r"model\.memory_temporal_positional_encoding$", "model.maskmem_tpos_enc"),
        (r"model\.no_memory_embedding$", "model.no_mem_embed"),
        (r"model\.no_memory_positional_encoding$", "model.no_mem_pos_enc"),
        (r"model\.no_object_pointer$", "model.no_obj_ptr"),
        (r"model\.occlusion_spatial_embedding_parameter$", "model.no_obj_embed_spatial"),
        (
            r"model\.temporal_positional_encoding_projection_layer\.",
            "model.obj_ptr_tpos_proj.",
        ),
        # Multi-layer perceptrons, which the detector counts from 1.
        (r"\.layer1\.", ".layers.0."),
        (r"\.layer2\.", ".layers.1."),
        (r"\.layer3\.", ".layers.2."),
    )
]

_PERCEPTRON = re.compile(
    r"(\.(?:iou_prediction_head|pred_obj_score_head|obj_ptr_proj|output_hypernetworks_mlps\.\d+))"
    r"\.(proj_in|layers\.0|proj_out)\."
)
_PERCEPTRON_LAYERS = {"proj_in": "layers.0", "layers.0": "layers.1", "proj_out": "layers.2"}
_DOWNSAMPLER = re.compile(r"mask_downsampler\.layers\.(\d+)\.(conv|layer_norm)\.")
_FINAL_CONV = re.compile(r"mask_downsampler\.final_conv\.")
_DOWNSAMPLER_LAYERS = 4

# The tracker keeps q, k and v apart in both implementations.
_SPLIT_ATTENTION = re.compile(r"^(.*)([qkv])_proj\.(weight|bias)$")
_OUTPUT_PROJECTION = re.compile(r"\.o_proj\.")


class Placement(NamedTuple):
    """Maps a tensor of a file to a weight of the model.

    Attributes:
        name: A name of ``Sam3Image.state_dict()``.
        third: 0, 1 or 2 if the tensor is the query, key or value third of that weight's
            rows; None if it is the whole weight.
    """

    name: str
    third: int | None = None


def place_transformers_name(name: str) -> Placement:
    """Renames a weight of ``Sam3VideoModel``.

    Args:
        name: With the prefixes of :func:`add_prefix`.

    Returns:
        Its place; an unknown name comes back in part unchanged, which no model has.
    """
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    name = _PERCEPTRON.sub(lambda m: f"{m[1]}.{_PERCEPTRON_LAYERS[m[2]]}.", name)
    name = _DOWNSAMPLER.sub(
        lambda m: f"mask_downsampler.encoder.{3 * int(m[1]) + (m[2] != 'conv')}.", name
    )
    name = _FINAL_CONV.sub(f"mask_downsampler.encoder.{3 * _DOWNSAMPLER_LAYERS}.", name)
    name = _OUTPUT_PROJECTION.sub(".out_proj.", name)
    split = _SPLIT_ATTENTION.match(name)
    if split is None or name.startswith(_TRACKER):
        return Placement(name)
    start, letter, kind = split.groups()
    fused = start + kind if start.endswith(".qkv.") else f"{start}in_proj_{kind}"
    return Placement(fused, "qkv".index(letter))


def add_prefix(name: str, is_detector: bool, is_tracker: bool) -> str:
    """Adds the prefix of ``Sam3VideoModel`` to the name of a bare model's weight.

    Args:
        name: Its name in the file.
        is_detector: Whether the file is one of a bare ``Sam3Model``.
        is_tracker: Whether the file is one of a bare ``Sam3TrackerModel``.
    """
    # ``save_pretrained`` of transformers 5.24 writes some prefixes twice.
    while name.startswith(("tracker_model.tracker_", "tracker_model.detector_model.")):
        name = name.removeprefix("tracker_model.")
    if name.startswith(("detector_model.", "tracker_model.", "tracker_neck.")):
        return name
    if is_detector:
        return "detector_model." + name
    if is_tracker and name.startswith("vision_encoder.neck."):
        return "tracker_neck." + name.removeprefix("vision_encoder.neck.")
    if is_tracker and name.startswith("vision_encoder."):
        return "detector_model." + name
    return "tracker_model." + name


def convert_transformers_tensor(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Converts a renamed tensor to the shape that the model here expects.

    Args:
        name: From :func:`place_transformers_name`.
        tensor: The tensor as it is in the file.

    Returns:
        One tensor by its name, or the four point embeddings that are rows of one.
    """
    if name.endswith(".trunk.pos_embed"):
        # The first row is the class token's, which the model cuts off.
        return {name: torch.cat([torch.zeros_like(tensor[:, :1]), tensor], dim=1)}
    if name.endswith(".encoder.text_projection"):
        return {name: tensor.t().contiguous()}
    if name.endswith(".sam_prompt_encoder.point_embed.weight"):
        return {f"{_POINT_EMBEDDING}.{i}.weight": tensor[i : i + 1] for i in range(len(tensor))}
    return {name: tensor}
