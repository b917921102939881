"""Builds the tracker of SAM 3: points and boxes on images, memory and propagation on videos.

Arguments are those of the package's builder (``sam3.model_builder``), except for sizes.
"""

from __future__ import annotations

from typing import Any

from ..runtime.isolation import suppress_warnings
from .config import PATCH_PX, Architecture
from .patched_modules import MemoryAttention, RotaryAttention, SinePositions
from .sam3_imports import (
    CXBlock,
    MaskDecoder,
    SAM3InteractiveImagePredictor,
    SimpleFuser,
    SimpleMaskDownSampler,
    SimpleMaskEncoder,
    TransformerDecoderLayerv2,
    TransformerWrapper,
    TwoWayTransformer,
)
from .video_tracker import VideoTracker


def build_interactive_predictor(a: Architecture) -> SAM3InteractiveImagePredictor:
    """Builds the interactive predictor around a tracker of that architecture."""
    tracker = build_tracker(a)
    with suppress_warnings():  # it uses TorchScript, which is deprecated
        predictor = SAM3InteractiveImagePredictor(tracker, max_hole_area=a.max_hole_area)
    # The package states these for side 1008 only.
    predictor._bb_feat_sizes = [(a.mask_side // k, a.mask_side // k) for k in (1, 2, 4)]
    return predictor


_STABLE_MASK = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def build_tracker(a: Architecture) -> VideoTracker:
    """Builds the tracker, which also decodes the points and boxes of images."""
    tracker = VideoTracker(
        a.association,
        image_size=a.image_size,
        num_maskmem=7,
        backbone=None,
        backbone_stride=PATCH_PX,
        transformer=_build_memory_attention(a),
        maskmem_backbone=_build_memory_encoder(a),
        multimask_output_in_sam=True,
        forward_backbone_per_frame_for_eval=True,
        multimask_output_for_tracking=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        max_cond_frames_in_attn=4,
        sam_mask_decoder_extra_args=_STABLE_MASK,
        use_memory_selection=True,
    )
    # The tracker's constructor fixes the decoder's sizes to those of the full-size model.
    tracker.sam_mask_decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2,
            embedding_dim=a.width,
            mlp_dim=a.mask_decoder_mlp,
            num_heads=a.mask_decoder_heads,
        ),
        transformer_dim=a.width,
        iou_head_depth=3,
        iou_head_hidden_dim=a.iou_head_width,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=a.iou_uses_sigmoid,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
        **_STABLE_MASK,
    )
    return tracker


def _build_memory_encoder(a: Architecture) -> SimpleMaskEncoder:
    side = a.patches_per_side * 16
    return SimpleMaskEncoder(
        in_dim=a.width,
        out_dim=a.memory_width,
        position_encoding=SinePositions(a.memory_width),
        mask_downsampler=SimpleMaskDownSampler(
            embed_dim=a.width,
            kernel_size=3,
            stride=2,
            padding=1,
            interpol_size=[side, side],
        ),
        fuser=SimpleFuser(
            layer=CXBlock(
                dim=a.width,
                kernel_size=7,
                padding=3,
                layer_scale_init_value=1.0e-06,
                use_dwconv=True,
            ),
            num_layers=a.memory_fuser_layers,
        ),
    )


def _build_memory_attention(a: Architecture) -> TransformerWrapper:
    def build_rope(**kwargs: Any) -> RotaryAttention:
        return RotaryAttention(
            embedding_dim=a.width,
            num_heads=1,
            downsample_rate=1,
            dropout=a.dropout,
            rope_theta=10000.0,
            feat_sizes=[a.patches_per_side, a.patches_per_side],
            use_fa3=False,
            use_rope_real=False,
            **kwargs,
        )

    encoder = MemoryAttention(
        remove_cross_attention_layers=[],
        batch_first=True,
        d_model=a.width,
        frozen=False,
        pos_enc_at_input=True,
        layer=TransformerDecoderLayerv2(
            cross_attention_first=False,
            activation="relu",
            dim_feedforward=a.feedforward_width,
            dropout=a.dropout,
            pos_enc_at_attn=False,
            pre_norm=True,
            self_attention=build_rope(),
            d_model=a.width,
            pos_enc_at_cross_attn_keys=True,
            pos_enc_at_cross_attn_queries=False,
            cross_attention=build_rope(kv_in_dim=a.memory_width, rope_k_repeat=True),
        ),
        num_layers=a.memory_layers,
        use_act_checkpoint=False,
    )
    return TransformerWrapper(encoder=encoder, decoder=None, d_model=a.width)
