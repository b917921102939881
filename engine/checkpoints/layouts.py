"""Recognizes the layout of a checkpoint by its keys and converts it to the model's names."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..model.config import MULTIPLEX_ASSOCIATION
from .errors import OtherModelError
from .reader import strip_prefixes
from .transformers_names import (
    BARE_DETECTOR_PREFIXES,
    BARE_TRACKER_PREFIXES,
    Placement,
    add_prefix,
    convert_transformers_tensor,
    place_transformers_name,
)

PREDICTOR = "inst_interactive_predictor."
"""Prefix of the interactive part in the names of ``Sam3Image.state_dict()``."""

TRACKER = PREDICTOR + "model."
"""Prefix of the tracker in these names."""

DETECTOR = "transformer."
MASK_DECODER = TRACKER + "sam_mask_decoder."
MEMORY_ENCODER = TRACKER + "maskmem_backbone."
"""Prefixes that only a file with the detector, the interactive part or the memory of videos has."""

MULTIPLEX = "multiplex."
"""Prefix of SAM 3.1's tracker in these names; its interactive heads are in :data:`TRACKER`."""

_PATCH_EMBEDDING = "backbone.vision_backbone.trunk.patch_embed.proj.weight"

_OTHER_MODELS = (
    ("SAM 2", ("image_encoder.trunk.", "vision_encoder.backbone.blocks.")),
    (
        "SAM 1",
        ("image_encoder.blocks.", "image_encoder.patch_embed.", "vision_encoder.layers."),
    ),
)


def _keep_unchanged(name: str, tensor: Tensor) -> dict[str, Tensor]:
    return {name: tensor}


@dataclasses.dataclass(frozen=True)
class Layout:
    """A way to name and shape the weights of SAM 3.

    Attributes:
        name: For messages.
        place: Gives a name of the file its place in the model; None if it is not used.
        convert: Gives a placed tensor the shape that the model expects, by name.
        architecture_changes: Fields of ``Architecture`` that a file of this layout needs.
    """

    name: str
    place: Callable[[str], Placement | None]
    convert: Callable[[str, Tensor], dict[str, Tensor]] = _keep_unchanged
    architecture_changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def has_multiplex(self) -> bool:
        """Whether it is the layout of SAM 3.1."""
        return bool(self.architecture_changes.get("has_multiplex"))


def recognize_layout(names: Collection[str], path: Path) -> Layout:
    """Recognizes the layout of a checkpoint by its keys.

    Args:
        names: The names of its tensors.
        path: The file, for messages.

    Returns:
        The layout; Meta's where nothing tells another one.

    Raises:
        OtherModelError: If these are the weights of another model of the family.
    """
    for model, prefixes in _OTHER_MODELS:
        if any(name.startswith(prefixes) for name in names):
            raise OtherModelError(
                f"{path} holds the weights of {model}, not SAM 3. Use sam3.pt of facebook/sam3."
            )
    if any(name.startswith(("detector_model.", "tracker_model.")) for name in names):
        return _TRANSFORMERS
    if any(name.startswith(BARE_DETECTOR_PREFIXES) for name in names):
        return _TRANSFORMERS_DETECTOR
    if any(name.startswith(BARE_TRACKER_PREFIXES) for name in names):
        return _TRANSFORMERS_TRACKER
    if any(name.startswith(_MULTIPLEX_PREFIXES) for name in names):
        return _MULTIPLEX
    return _META


def find_parts(names: Mapping[str, tuple[int, ...] | None], vit_width: int) -> dict[str, bool]:
    """Tells by the names of a file's tensors which parts of a model it holds.

    Args:
        names: The shapes of tensors by their names in the file; None where not known.
        vit_width: Channels of the model's image encoder.

    Returns:
        For ``concepts``, ``objects`` and ``video tracking`` whether they will work; nothing works
        without an image encoder of that width.

    Raises:
        OtherModelError: If these are the weights of another model of the family.
    """
    stripped = dict(zip(strip_prefixes(names), names.values(), strict=True))
    layout = recognize_layout(stripped, Path("the file"))
    placed = {p.name: shape for name, shape in stripped.items() if (p := layout.place(name))}
    shape = placed.get(_PATCH_EMBEDDING)
    fits = _PATCH_EMBEDDING in placed and (shape is None or shape[:1] == (vit_width,))
    prefixes: dict[str, str | tuple[str, ...]] = {
        "concepts": DETECTOR,
        "objects": MASK_DECODER,
        "video tracking": (MEMORY_ENCODER, MULTIPLEX),
    }
    return {
        kind: fits and any(name.startswith(prefix) for name in placed)
        for kind, prefix in prefixes.items()
    }


def convert_to_model_names(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Renames the tensors of a checkpoint to the names of ``Sam3Image.state_dict()``.

    Args:
        tensors: Tensors by their names in the file.
        layout: From :func:`recognize_layout`.

    Returns:
        Tensors by the model's names. Query, key and value weights that the file keeps apart
        are joined, which takes memory; all other tensors stay memory-mapped.
    """
    state: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        placement = layout.place(name)
        if placement is None:
            continue
        if placement.third is None:
            state |= layout.convert(placement.name, tensor)
        else:
            thirds.setdefault(placement.name, {})[placement.third] = tensor
    for name, parts in thirds.items():
        if len(parts) == 3:
            state[name] = torch.cat([parts[i] for i in range(3)])
    return state


def get_meta_name(model_name: str) -> str:
    """Returns the name in Meta's checkpoint of a tensor of ``Sam3Image.state_dict()``."""
    if model_name.startswith(TRACKER):
        return "tracker." + model_name.removeprefix(TRACKER)
    return "detector." + model_name


def is_derived(name: str) -> bool:
    """Tells whether the constructor computes this tensor, so that a file need not hold it."""
    return ".attn.freqs_cis" in name


def _place_meta_name(name: str) -> Placement:
    if name.startswith("tracker."):
        return Placement(TRACKER + name.removeprefix("tracker."))
    return Placement(name.removeprefix("detector."))


def _place_transformers_name(name: str, is_detector: bool, is_tracker: bool) -> Placement:
    return place_transformers_name(add_prefix(name, is_detector, is_tracker))


_MULTIPLEX_RENAMES = (
    (
        "detector.backbone.vision_backbone.interactive_convs.",
        "backbone.vision_backbone.sam2_convs.",
    ),
    ("tracker.model.interactive_sam_prompt_encoder.", TRACKER + "sam_prompt_encoder."),
    ("tracker.model.interactive_sam_mask_decoder.", TRACKER + "sam_mask_decoder."),
    ("tracker.model.interactivity_no_mem_embed", TRACKER + "no_mem_embed"),
)
_MULTIPLEX_PREFIXES = tuple(old for old, _ in _MULTIPLEX_RENAMES)


def _place_multiplex_name(name: str) -> Placement:
    for old, new in (*_MULTIPLEX_RENAMES, ("tracker.model.", MULTIPLEX)):
        if name.startswith(old):
            return Placement(new + name.removeprefix(old))
    return _place_meta_name(name)


_META = Layout("Meta's SAM 3", _place_meta_name)
_MULTIPLEX = Layout(
    "SAM 3.1 (multiplex)",
    _place_multiplex_name,
    # As public loaders of the file have it: the neck has no fourth level, and the predicted
    # IoU of clicks is not squashed.
    architecture_changes={
        "neck_scales": (4.0, 2.0, 1.0),
        "iou_uses_sigmoid": False,
        "has_multiplex": True,
        "association": MULTIPLEX_ASSOCIATION,
    },
)
_TRANSFORMERS, _TRANSFORMERS_DETECTOR, _TRANSFORMERS_TRACKER = (
    Layout(
        f"transformers' {model}",
        functools.partial(_place_transformers_name, is_detector=is_detector, is_tracker=is_tracker),
        convert_transformers_tensor,
    )
    for model, is_detector, is_tracker in (
        ("Sam3VideoModel", False, False),
        ("Sam3Model", True, False),
        ("Sam3TrackerModel", False, True),
    )
)

LAYOUTS = (_META, _MULTIPLEX, _TRANSFORMERS, _TRANSFORMERS_DETECTOR, _TRANSFORMERS_TRACKER)
"""All layouts."""
