"""Recognizes the layout of a checkpoint by its keys and renames them to the model's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import OtherModelError

if TYPE_CHECKING:
    from torch import Tensor

PREDICTOR = "inst_interactive_predictor."
"""Prefix of the interactive part in the names of ``Sam3Image.state_dict()``."""

_TRACKER = PREDICTOR + "model."

_OTHER_MODELS = (
    (
        "SAM 3.1",
        ("tracker.model.", ".interactive_convs.", ".propagation_convs."),
        "SAM 3.1 is a video release with another architecture. Use sam3.pt of facebook/sam3.",
    ),
    (
        "SAM 3 in the layout of the transformers library",
        ("detector_model.", "tracker_model.", "vision_encoder.backbone.layers.", "detr_decoder."),
        "Use sam3.pt of facebook/sam3, which lies beside it in the same repository.",
    ),
    (
        "SAM 2",
        ("image_encoder.trunk.", "vision_encoder.backbone.blocks."),
        "Use sam3.pt of facebook/sam3.",
    ),
    (
        "SAM 1",
        ("image_encoder.blocks.", "image_encoder.patch_embed.", "vision_encoder.layers."),
        "Use sam3.pt of facebook/sam3.",
    ),
)


def convert_to_model_names(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Renames the tensors of a checkpoint to the names of ``Sam3Image.state_dict()``.

    Args:
        tensors: Tensors by their names in the file.
        path: The file, for messages.

    Returns:
        The same tensors by the model's names.

    Raises:
        OtherModelError: If the file holds the weights of another model of the family.
    """
    _refuse_other_models(path, tensors)
    return {_get_model_name(name): tensor for name, tensor in tensors.items()}


def get_meta_name(model_name: str) -> str:
    """Returns the name in Meta's checkpoint of a tensor of ``Sam3Image.state_dict()``."""
    if model_name.startswith(_TRACKER):
        return "tracker." + model_name.removeprefix(_TRACKER)
    return "detector." + model_name


def is_derived(name: str) -> bool:
    """Tells whether the constructor computes this tensor, so that a file need not hold it."""
    return ".attn.freqs_cis" in name


def _get_model_name(meta_name: str) -> str:
    if meta_name.startswith("tracker."):
        return _TRACKER + meta_name.removeprefix("tracker.")
    return meta_name.removeprefix("detector.")


def _refuse_other_models(path: Path, tensors: dict[str, Tensor]) -> None:
    for model, marks, advice in _OTHER_MODELS:
        for mark in marks:
            inside = mark.startswith(".")
            if any(mark in name if inside else name.startswith(mark) for name in tensors):
                raise OtherModelError(f"{path} holds the weights of {model}, not SAM 3. {advice}")
