"""Builds the detector of SAM 3: image encoder, text encoder, and the layers that find concepts.

Arguments are those of the package's builder (``sam3.model_builder``), except for sizes.
"""

from __future__ import annotations

from torch import nn

from .config import PATCH_PX, Architecture
from .patched_modules import (
    FusionEncoder,
    GeometryEncoder,
    QueryDecoder,
    SinePositions,
    VisionNeck,
)
from .sam3_imports import (
    MLP,
    DotProductScoring,
    MultiheadAttentionWrapper,
    PixelDecoder,
    SimpleTokenizer,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    UniversalSegmentationHead,
    VETextEncoder,
    ViT,
)
from .vocabulary import find_bpe_vocabulary


def build_image_encoder(a: Architecture) -> VisionNeck:
    """Builds the ViT with its two necks, for concepts and for the interactive part."""
    vit = ViT(
        img_size=a.image_size,
        pretrain_img_size=a.pretrain_image_size,
        patch_size=PATCH_PX,
        embed_dim=a.vit_width,
        depth=a.vit_depth,
        num_heads=a.vit_heads,
        mlp_ratio=a.vit_mlp_ratio,
        norm_layer="LayerNorm",
        drop_path_rate=a.drop_path,
        qkv_bias=True,
        use_abs_pos=True,
        tile_abs_pos=True,
        global_att_blocks=a.vit_global_blocks,
        rel_pos_blocks=(),
        use_rope=True,
        use_interp_rope=True,
        window_size=a.vit_window,
        pretrain_use_cls_token=True,
        retain_cls_token=False,
        ln_pre=True,
        ln_post=False,
        return_interm_layers=False,
        bias_patch_embed=False,
    )
    return VisionNeck(
        position_encoding=SinePositions(a.width),
        d_model=a.width,
        scale_factors=list(a.neck_scales),
        trunk=vit,
        add_sam2_neck=True,
        add_propagation_neck=a.has_multiplex,
    )


def build_text_encoder(a: Architecture) -> VETextEncoder:
    """Builds the text encoder with CLIP's tokenizer."""
    return VETextEncoder(
        tokenizer=SimpleTokenizer(bpe_path=find_bpe_vocabulary()),
        d_model=a.width,
        width=a.text_width,
        heads=a.text_heads,
        layers=a.text_layers,
    )


def build_fusion_encoder(a: Architecture) -> FusionEncoder:
    """Builds the transformer encoder that fuses image features with the prompt."""
    return FusionEncoder(
        layer=TransformerEncoderLayer(
            activation="relu",
            d_model=a.width,
            dim_feedforward=a.feedforward_width,
            dropout=a.dropout,
            pos_enc_at_attn=True,
            pos_enc_at_cross_attn_keys=False,
            pos_enc_at_cross_attn_queries=False,
            pre_norm=True,
            self_attention=_build_attention(a, batch_first=True),
            cross_attention=_build_attention(a, batch_first=True),
        ),
        num_layers=a.encoder_layers,
        d_model=a.width,
        num_feature_levels=1,
        frozen=False,
        use_act_checkpoint=True,
        add_pooled_text_to_img_feat=False,
        pool_text_with_mask=True,
    )


def build_query_decoder(a: Architecture) -> QueryDecoder:
    """Builds the transformer decoder that turns object queries into boxes and scores."""
    # Without ``resolution`` and ``stride`` the coordinate cache fills on first use, on the
    # right device and with the same values; with them it is allocated on "cuda".
    return QueryDecoder(
        feature_side=a.patches_per_side,
        layer=TransformerDecoderLayer(
            activation="relu",
            d_model=a.width,
            dim_feedforward=a.feedforward_width,
            dropout=a.dropout,
            cross_attention=_build_attention(a, batch_first=False),
            n_heads=a.heads,
            use_text_cross_attention=True,
        ),
        num_layers=a.decoder_layers,
        num_queries=a.queries,
        return_intermediate=True,
        box_refine=True,
        num_o2m_queries=0,
        dac=True,
        boxRPB="log",
        d_model=a.width,
        frozen=False,
        interaction_layer=None,
        dac_use_selfatt_ln=True,
        use_act_checkpoint=True,
        presence_token=True,
    )


def build_scoring_head(a: Architecture) -> DotProductScoring:
    """Builds the head that scores each query against the prompt."""
    return DotProductScoring(
        d_model=a.width,
        d_proj=a.width,
        prompt_mlp=MLP(
            input_dim=a.width,
            hidden_dim=a.feedforward_width,
            output_dim=a.width,
            num_layers=2,
            dropout=a.dropout,
            residual=True,
            out_norm=nn.LayerNorm(a.width),
        ),
    )


def build_segmentation_head(a: Architecture) -> UniversalSegmentationHead:
    """Builds the head that predicts the mask of each query."""
    return UniversalSegmentationHead(
        hidden_dim=a.width,
        upsampling_stages=3,
        aux_masks=False,
        presence_head=False,
        dot_product_scorer=None,
        # The package checkpoints activations here even in eval mode, which saves nothing
        # without gradients.
        act_ckpt=False,
        cross_attend_prompt=_build_attention(a, batch_first=False, dropout=0.0),
        pixel_decoder=PixelDecoder(
            num_upsampling_stages=3, interpolation_mode="nearest", hidden_dim=a.width
        ),
    )


def build_geometry_encoder(a: Architecture) -> GeometryEncoder:
    """Builds the encoder of exemplar boxes."""
    return GeometryEncoder(
        pos_enc=SinePositions(a.width),
        encode_boxes_as_points=False,
        points_direct_project=True,
        points_pool=True,
        points_pos_enc=True,
        boxes_direct_project=True,
        boxes_pool=True,
        boxes_pos_enc=True,
        d_model=a.width,
        num_layers=a.geometry_layers,
        layer=TransformerEncoderLayer(
            activation="relu",
            d_model=a.width,
            dim_feedforward=a.feedforward_width,
            dropout=a.dropout,
            pos_enc_at_attn=False,
            pre_norm=True,
            self_attention=_build_attention(a, batch_first=False),
            pos_enc_at_cross_attn_queries=False,
            pos_enc_at_cross_attn_keys=True,
            cross_attention=_build_attention(a, batch_first=False),
        ),
        use_act_ckpt=True,
        add_cls=True,
        add_post_encode_proj=True,
    )


def _build_attention(a: Architecture, batch_first: bool, dropout: float | None = None) -> nn.Module:
    return MultiheadAttentionWrapper(
        num_heads=a.heads,
        dropout=a.dropout if dropout is None else dropout,
        embed_dim=a.width,
        batch_first=batch_first,
    )
