"""Imports everything that the engine uses of Meta's ``sam3`` package.

No other module of the engine imports from ``sam3``: importing it changes process-wide
state (logging, TF32, environment), which :mod:`..runtime.isolation` restores.
"""

from ..runtime.isolation import import_sam3

import_sam3()

from sam3.model.box_ops import box_cxcywh_to_xyxy
from sam3.model.data_misc import FindStage
from sam3.model.decoder import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerDecoderLayerv2,
    TransformerEncoderCrossAttention,
)
from sam3.model.encoder import TransformerEncoderFusion, TransformerEncoderLayer
from sam3.model.geometry_encoders import Prompt as GeometricPrompt
from sam3.model.geometry_encoders import SequenceGeometryEncoder
from sam3.model.maskformer_segmentation import PixelDecoder, UniversalSegmentationHead
from sam3.model.memory import CXBlock, SimpleFuser, SimpleMaskDownSampler, SimpleMaskEncoder
from sam3.model.model_misc import (
    MLP,
    DotProductScoring,
    MultiheadAttentionWrapper,
    TransformerWrapper,
)
from sam3.model.necks import Sam3DualViTDetNeck
from sam3.model.position_encoding import PositionEmbeddingSine
from sam3.model.sam1_task_predictor import SAM3InteractiveImagePredictor
from sam3.model.sam3_image import Sam3Image
from sam3.model.sam3_image_processor import Sam3Processor
from sam3.model.sam3_tracker_base import Sam3TrackerBase
from sam3.model.sam3_tracker_utils import get_1d_sine_pe, select_closest_cond_frames
from sam3.model.sam3_tracking_predictor import Sam3TrackerPredictor
from sam3.model.sam3_video_base import MaskletConfirmationStatus, Sam3VideoBase
from sam3.model.text_encoder_ve import VETextEncoder
from sam3.model.tokenizer_ve import SimpleTokenizer
from sam3.model.utils.sam1_utils import SAM2Transforms
from sam3.model.vitdet import ViT
from sam3.model.vl_combiner import SAM3VLBackbone
from sam3.perflib.connected_components import connected_components
from sam3.perflib.masks_ops import mask_iou
from sam3.perflib.nms import generic_nms_cpu
from sam3.sam.common import LayerNorm2d
from sam3.sam.mask_decoder import MaskDecoder
from sam3.sam.prompt_encoder import PositionEmbeddingRandom
from sam3.sam.rope import apply_rotary_enc, compute_axial_cis
from sam3.sam.transformer import RoPEAttention, TwoWayTransformer

__all__ = [
    "MLP",
    "CXBlock",
    "DotProductScoring",
    "FindStage",
    "GeometricPrompt",
    "LayerNorm2d",
    "MaskDecoder",
    "MaskletConfirmationStatus",
    "MultiheadAttentionWrapper",
    "PixelDecoder",
    "PositionEmbeddingRandom",
    "PositionEmbeddingSine",
    "RoPEAttention",
    "SAM2Transforms",
    "SAM3InteractiveImagePredictor",
    "SAM3VLBackbone",
    "Sam3DualViTDetNeck",
    "Sam3Image",
    "Sam3Processor",
    "Sam3TrackerBase",
    "Sam3TrackerPredictor",
    "Sam3VideoBase",
    "SequenceGeometryEncoder",
    "SimpleFuser",
    "SimpleMaskDownSampler",
    "SimpleMaskEncoder",
    "SimpleTokenizer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerDecoderLayerv2",
    "TransformerEncoderCrossAttention",
    "TransformerEncoderFusion",
    "TransformerEncoderLayer",
    "TransformerWrapper",
    "TwoWayTransformer",
    "UniversalSegmentationHead",
    "VETextEncoder",
    "ViT",
    "apply_rotary_enc",
    "box_cxcywh_to_xyxy",
    "compute_axial_cis",
    "connected_components",
    "generic_nms_cpu",
    "get_1d_sine_pe",
    "mask_iou",
    "select_closest_cond_frames",
]
