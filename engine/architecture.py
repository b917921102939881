"""Meta's SAM 3 image model, composed from the ``sam3`` package's own modules.

The package's builder (``sam3.model_builder.build_sam3_image_model``) allocates on
``"cuda"`` while it builds, enters a process-wide autocast and knows one size only.
Composing the same modules from a value avoids all three and gives a small model of
the same architecture. Sizes of :data:`SAM3` are those of that builder.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .isolation import import_sam3, without_warnings

import_sam3()

from sam3.model.decoder import (  # noqa: E402
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerDecoderLayerv2,
    TransformerEncoderCrossAttention,
)
from sam3.model.encoder import TransformerEncoderFusion, TransformerEncoderLayer  # noqa: E402
from sam3.model.geometry_encoders import SequenceGeometryEncoder  # noqa: E402
from sam3.model.maskformer_segmentation import PixelDecoder, UniversalSegmentationHead  # noqa: E402
from sam3.model.memory import (  # noqa: E402
    CXBlock,
    SimpleFuser,
    SimpleMaskDownSampler,
    SimpleMaskEncoder,
)
from sam3.model.model_misc import (  # noqa: E402
    MLP,
    DotProductScoring,
    MultiheadAttentionWrapper,
    TransformerWrapper,
)
from sam3.model.necks import Sam3DualViTDetNeck  # noqa: E402
from sam3.model.position_encoding import PositionEmbeddingSine  # noqa: E402
from sam3.model.sam1_task_predictor import SAM3InteractiveImagePredictor  # noqa: E402
from sam3.model.sam3_image import Sam3Image  # noqa: E402
from sam3.model.sam3_tracker_base import Sam3TrackerBase  # noqa: E402
from sam3.model.text_encoder_ve import VETextEncoder  # noqa: E402
from sam3.model.tokenizer_ve import SimpleTokenizer  # noqa: E402
from sam3.model.vitdet import ViT  # noqa: E402
from sam3.model.vl_combiner import SAM3VLBackbone  # noqa: E402
from sam3.sam.mask_decoder import MaskDecoder  # noqa: E402
from sam3.sam.transformer import RoPEAttention, TwoWayTransformer  # noqa: E402

__all__ = [
    "SAM3",
    "TINY_SHAPES",
    "Architecture",
    "Sam3Image",
    "build_model",
    "build_model_without_weights",
    "finish_assigned",
]

PATCH_PX = 14
"""Side of a ViT patch and stride of its feature map, in pixels of the model's input."""

MASK_CELLS_PER_PATCH = 4
"""Cells of the low-resolution mask grid along one patch side."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Every size that tells one SAM 3 image model from another.

    Attributes:
        image_size: Side of the square model input, in pixels. Multiple of 14.
        pretrain_image_size: Side the ViT's absolute position table was made for, in pixels.
        vit_width: Channels of the image encoder.
        vit_depth: Blocks of the image encoder.
        vit_heads: Attention heads of an image encoder block.
        vit_mlp_ratio: Width of the image encoder's MLP, as a multiple of its channels.
        vit_global_blocks: Blocks that attend over the whole image; the others use windows.
        vit_window: Side of an attention window, in patches.
        width: Channels of everything after the image encoder.
        feedforward_width: Hidden channels of the detector's feed-forward layers.
        heads: Attention heads of the detector.
        encoder_layers: Layers that fuse image and prompt.
        decoder_layers: Layers that decode queries.
        geometry_layers: Layers that encode exemplar boxes.
        queries: Object queries: the most instances one concept can give.
        text_width: Channels of the text encoder.
        text_heads: Attention heads of the text encoder.
        text_layers: Layers of the text encoder.
        memory_width: Channels of the tracker's memory (unused on images, in the checkpoint).
        memory_layers: Layers of the tracker's memory attention (same).
        memory_fuser_layers: Layers of the tracker's memory fuser (same).
        mask_decoder_heads: Attention heads of the interactive mask decoder.
        mask_decoder_mlp: Hidden channels of the interactive mask decoder.
        iou_head_width: Hidden channels of the mask quality head.
        dropout: Dropout probability, only active in training mode.
        drop_path: Stochastic depth of the image encoder, only active in training mode.
    """

    image_size: int
    pretrain_image_size: int
    vit_width: int
    vit_depth: int
    vit_heads: int
    vit_mlp_ratio: float
    vit_global_blocks: tuple[int, ...]
    vit_window: int
    width: int
    feedforward_width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    geometry_layers: int
    queries: int
    text_width: int
    text_heads: int
    text_layers: int
    memory_width: int
    memory_layers: int
    memory_fuser_layers: int
    mask_decoder_heads: int
    mask_decoder_mlp: int
    iou_head_width: int
    dropout: float
    drop_path: float

    @property
    def patches_per_side(self) -> int:
        """Side of the image encoder's feature map, in patches."""
        return self.image_size // PATCH_PX

    @property
    def mask_side(self) -> int:
        """Side of the low-resolution mask grid, in cells (288 for the full-size model)."""
        return self.patches_per_side * MASK_CELLS_PER_PATCH

    @property
    def max_hole_area(self) -> float:
        """Largest hole that the interactive route fills, in cells of the mask grid.

        Meta's value is 256 cells of a 288-cell grid; it is scaled with the grid's area.
        """
        return 256.0 * (self.mask_side / 288) ** 2


SAM3 = Architecture(
    image_size=1008,
    pretrain_image_size=336,
    vit_width=1024,
    vit_depth=32,
    vit_heads=16,
    vit_mlp_ratio=4.625,
    vit_global_blocks=(7, 15, 23, 31),
    vit_window=24,
    width=256,
    feedforward_width=2048,
    heads=8,
    encoder_layers=6,
    decoder_layers=6,
    geometry_layers=3,
    queries=200,
    text_width=1024,
    text_heads=16,
    text_layers=24,
    memory_width=64,
    memory_layers=4,
    memory_fuser_layers=2,
    mask_decoder_heads=8,
    mask_decoder_mlp=2048,
    iou_head_width=256,
    dropout=0.1,
    drop_path=0.1,
)
"""Sizes of ``facebook/sam3``, from ``sam3.model_builder`` 0.1.4."""

TINY_SHAPES = Architecture(
    image_size=280,
    pretrain_image_size=112,
    vit_width=128,
    vit_depth=4,
    vit_heads=4,
    vit_mlp_ratio=4.0,
    vit_global_blocks=(1, 3),
    vit_window=8,
    width=64,
    feedforward_width=256,
    heads=4,
    encoder_layers=2,
    decoder_layers=3,
    geometry_layers=1,
    queries=25,
    text_width=64,
    text_heads=4,
    text_layers=2,
    memory_width=16,
    memory_layers=1,
    memory_fuser_layers=1,
    mask_decoder_heads=2,
    mask_decoder_mlp=256,
    iou_head_width=64,
    dropout=0.0,
    drop_path=0.0,
)
"""Sizes of the bundled model that knows flat coloured shapes (``tools/tiny_shapes``)."""


def build_model(architecture: Architecture, bpe_path: str) -> Sam3Image:
    """Composes an untrained image model, in eval mode, on the current default device.

    Args:
        architecture: The sizes.
        bpe_path: Path of CLIP's BPE vocabulary (``bpe_simple_vocab_16e6.txt.gz``).

    Returns:
        The model. Some text parameters are left uninitialised by their constructors: load
        a checkpoint or initialise them before use.
    """
    a = architecture
    model = Sam3Image(
        backbone=SAM3VLBackbone(visual=_image_encoder(a), text=_text_encoder(a, bpe_path), scalp=1),
        transformer=TransformerWrapper(
            encoder=_fusion_encoder(a), decoder=_query_decoder(a), d_model=a.width
        ),
        input_geometry_encoder=_geometry_encoder(a),
        segmentation_head=_segmentation_head(a),
        num_feature_levels=1,
        o2m_mask_predict=True,
        dot_prod_scoring=_scoring(a),
        use_instance_query=False,
        multimask_output=True,
        inst_interactive_predictor=_interactive_predictor(a),
        matcher=None,
    )
    return model.eval()


class _EmptyOnMeta(TorchFunctionMode):
    """Sends ``torch.empty`` to the meta device, for this thread, while it is entered.

    Parameters are made by ``torch.empty`` and then initialised in place; on the meta
    device neither costs memory or time. No random number is drawn: they come from the one
    generator of the process, which its host may have seeded. Everything else (``linspace``
    with ``.item()`` in the ViT, small tables) is computed as ever, which
    ``torch.device("meta")`` breaks.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.randn):
            kwargs["device"] = "meta"
        if func in (torch.Tensor.uniform_, torch.Tensor.normal_):
            return args[0]
        return func(*args, **kwargs)


def build_model_without_weights(architecture: Architecture, bpe_path: str) -> Sam3Image:
    """Composes a model whose parameters take no memory until a checkpoint is assigned.

    After ``model.load_state_dict(state, assign=True)`` call :func:`finish_assigned`.

    Args:
        architecture: The sizes.
        bpe_path: Path of CLIP's BPE vocabulary.

    Returns:
        The model, most of its parameters on the meta device.
    """
    with _EmptyOnMeta():
        return build_model(architecture, bpe_path)


def finish_assigned(model: Sam3Image) -> None:
    """Makes what no checkpoint holds, after weights were assigned.

    Args:
        model: A model from :func:`build_model_without_weights` with its weights assigned.

    Raises:
        RuntimeError: If a parameter or buffer is still without memory.
    """
    text = model.backbone.language_backbone.encoder
    text.attn_mask = text.build_causal_mask()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    unset = [name for name, tensor in tensors if tensor.is_meta]
    if unset:
        raise RuntimeError(f"{len(unset)} tensors were never loaded, first: {unset[0]}")


class _PinningIsIdentity(TorchFunctionMode):
    """Makes ``Tensor.pin_memory`` return its tensor, for this thread, while it is entered.

    Pinning only speeds up a copy to the GPU; on a machine with no CUDA it raises.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.pin_memory:
            return args[0]
        return func(*args, **(kwargs or {}))


class GeometryEncoder(SequenceGeometryEncoder):
    """The package's encoder of exemplar boxes, also on a machine with no CUDA."""

    def _encode_boxes(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        with _PinningIsIdentity():
            return super()._encode_boxes(*args, **kwargs)


class _TensorsOnce(TorchFunctionMode):
    """Makes each ``torch.tensor(...)`` of constants once, for this thread, while entered."""

    def __init__(self, made: dict[str, Tensor]) -> None:
        super().__init__()
        self._made = made

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        key = repr((args, kwargs))
        if key not in self._made:
            with torch.inference_mode(False):
                self._made[key] = func(*args, **kwargs)
        return self._made[key]


class FusionEncoder(TransformerEncoderFusion):
    """The package's fusion encoder, which sends its table of sizes to a GPU once, not each run.

    The host waits for such a copy until the GPU has done all that was asked before.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tables: dict[str, Tensor] = {}

    def _prepare_multilevel_features(self, *args: Any, **kwargs: Any) -> Any:
        with _TensorsOnce(self._tables):
            return super()._prepare_multilevel_features(*args, **kwargs)


class QueryDecoder(TransformerDecoder):
    """The package's query decoder, told the size of its feature map instead of asking a GPU.

    The package compares it as tensors, and the host waits seven times a layer.
    """

    def __init__(self, feature_side: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._feature_hw = (feature_side, feature_side)

    def _get_rpb_matrix(self, reference_boxes: Tensor, feat_size: Any) -> Tensor:
        return super()._get_rpb_matrix(reference_boxes, self._feature_hw)


def _sine(channels: int) -> PositionEmbeddingSine:
    return PositionEmbeddingSine(
        num_pos_feats=channels, normalize=True, scale=None, temperature=10000
    )


def _attention(a: Architecture, batch_first: bool, dropout: float | None = None) -> nn.Module:
    return MultiheadAttentionWrapper(
        num_heads=a.heads,
        dropout=a.dropout if dropout is None else dropout,
        embed_dim=a.width,
        batch_first=batch_first,
    )


def _image_encoder(a: Architecture) -> Sam3DualViTDetNeck:
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
    return Sam3DualViTDetNeck(
        position_encoding=_sine(a.width),
        d_model=a.width,
        scale_factors=[4.0, 2.0, 1.0, 0.5],
        trunk=vit,
        add_sam2_neck=True,
    )


def _text_encoder(a: Architecture, bpe_path: str) -> VETextEncoder:
    return VETextEncoder(
        tokenizer=SimpleTokenizer(bpe_path=bpe_path),
        d_model=a.width,
        width=a.text_width,
        heads=a.text_heads,
        layers=a.text_layers,
    )


def _fusion_encoder(a: Architecture) -> FusionEncoder:
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
            self_attention=_attention(a, batch_first=True),
            cross_attention=_attention(a, batch_first=True),
        ),
        num_layers=a.encoder_layers,
        d_model=a.width,
        num_feature_levels=1,
        frozen=False,
        use_act_checkpoint=True,
        add_pooled_text_to_img_feat=False,
        pool_text_with_mask=True,
    )


def _query_decoder(a: Architecture) -> QueryDecoder:
    # Without ``resolution`` and ``stride`` the coordinate cache fills on first use, on the
    # right device and with the same values; with them it is allocated on "cuda".
    return QueryDecoder(
        feature_side=a.patches_per_side,
        layer=TransformerDecoderLayer(
            activation="relu",
            d_model=a.width,
            dim_feedforward=a.feedforward_width,
            dropout=a.dropout,
            cross_attention=_attention(a, batch_first=False),
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


def _scoring(a: Architecture) -> DotProductScoring:
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


def _segmentation_head(a: Architecture) -> UniversalSegmentationHead:
    return UniversalSegmentationHead(
        hidden_dim=a.width,
        upsampling_stages=3,
        aux_masks=False,
        presence_head=False,
        dot_product_scorer=None,
        # The package checkpoints activations here even in eval mode, which saves nothing
        # without gradients.
        act_ckpt=False,
        cross_attend_prompt=_attention(a, batch_first=False, dropout=0.0),
        pixel_decoder=PixelDecoder(
            num_upsampling_stages=3, interpolation_mode="nearest", hidden_dim=a.width
        ),
    )


def _geometry_encoder(a: Architecture) -> GeometryEncoder:
    return GeometryEncoder(
        pos_enc=_sine(a.width),
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
            self_attention=_attention(a, batch_first=False),
            pos_enc_at_cross_attn_queries=False,
            pos_enc_at_cross_attn_keys=True,
            cross_attention=_attention(a, batch_first=False),
        ),
        use_act_ckpt=True,
        add_cls=True,
        add_post_encode_proj=True,
    )


def _interactive_predictor(a: Architecture) -> SAM3InteractiveImagePredictor:
    tracker = _tracker(a)
    with without_warnings():  # it uses TorchScript, which is deprecated
        predictor = SAM3InteractiveImagePredictor(tracker, max_hole_area=a.max_hole_area)
    # The package states these for side 1008 only.
    predictor._bb_feat_sizes = [(a.mask_side // k, a.mask_side // k) for k in (1, 2, 4)]
    return predictor


_STABLE_MASK = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def _tracker(a: Architecture) -> Sam3TrackerBase:
    # The package's ``Sam3TrackerPredictor`` adds video bookkeeping to this class and enters
    # a CUDA autocast in its constructor that it never leaves; parameters are the same.
    tracker = Sam3TrackerBase(
        image_size=a.image_size,
        num_maskmem=7,
        backbone=None,
        backbone_stride=PATCH_PX,
        transformer=_memory_attention(a),
        maskmem_backbone=_memory_encoder(a),
        multimask_output_in_sam=True,
        forward_backbone_per_frame_for_eval=True,
        multimask_output_for_tracking=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        max_cond_frames_in_attn=4,
        sam_mask_decoder_extra_args=_STABLE_MASK,
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
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
        **_STABLE_MASK,
    )
    return tracker


def _memory_encoder(a: Architecture) -> SimpleMaskEncoder:
    side = a.patches_per_side * 16
    return SimpleMaskEncoder(
        in_dim=a.width,
        out_dim=a.memory_width,
        position_encoding=_sine(a.memory_width),
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


def _memory_attention(a: Architecture) -> TransformerWrapper:
    def rope(**kwargs: Any) -> RoPEAttention:
        return RoPEAttention(
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

    encoder = TransformerEncoderCrossAttention(
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
            self_attention=rope(),
            d_model=a.width,
            pos_enc_at_cross_attn_keys=True,
            pos_enc_at_cross_attn_queries=False,
            cross_attention=rope(kv_in_dim=a.memory_width, rope_k_repeat=True),
        ),
        num_layers=a.memory_layers,
        use_act_checkpoint=False,
    )
    return TransformerWrapper(encoder=encoder, decoder=None, d_model=a.width)
