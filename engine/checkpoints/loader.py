"""Loads a checkpoint into a model; refuses missing, unknown and misshaped tensors.

The package's own loader ignores missing and unexpected keys, so that another model's file
loads and runs on random weights. Here every tensor of the model must be in the file with
its shape, and every other tensor of the file must be known to be unused on images.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..model.build import build_model_without_weights, finish_assignment
from ..model.weight_precision import find_bfloat16_names, hold_in_bfloat16
from .adapters import merge_adapter
from .errors import MissingKeysError, UnexpectedKeysError, WrongShapesError
from .layouts import (
    DETECTOR,
    MASK_DECODER,
    MEMORY_ENCODER,
    MULTIPLEX,
    PREDICTOR,
    convert_to_model_names,
    is_derived,
    recognize_layout,
)
from .reader import read_tensors
from .scaled_weights import restore_scaled_weights
from .zoo import WeightFiles, get_model_spec, resolve_input_size

if TYPE_CHECKING:
    from ..model.sam3_imports import Sam3Image

logger = logging.getLogger("infer_segment_anything_3")

_UNUSED_ON_IMAGES = (PREDICTOR + "model.backbone.", "transformer.decoder.instance_")
"""Tensors of some checkpoints that the image model does not use."""

_OPTIONAL = ("backbone.language_backbone.encoder.text_projection", "geometry_encoder.points_")
"""Tensors that no route of this engine uses; some files leave them out."""

_CONCEPT_NECK = "backbone.vision_backbone.convs."
_INTERACTIVE_NECK = "backbone.vision_backbone.sam2_convs."
_PROPAGATION_NECK = "backbone.vision_backbone.propagation_convs."
_MEMORY_PARTS = (
    "transformer",
    "maskmem_backbone",
    "mask_downsample",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "obj_ptr_proj",
    "obj_ptr_tpos_proj",
)
"""Parts of the tracker that only videos need."""

_PAGE_BYTES = 4096


def load_model(
    model_name: str,
    files: WeightFiles | Path,
    device: torch.device | str,
    input_size: int | str = "auto",
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Sam3Image:
    """Builds a model and loads the weights of a file into it.

    The file is memory-mapped and its tensors become the model's parameters without a copy:
    the model takes no more memory than the file. Do not write into a file that is in use;
    replace it by renaming another file to its name.

    Args:
        model_name: A key of :data:`~.zoo.MODELS`, or the name of a repository.
        files: A checkpoint in one of the layouts of :mod:`.layouts`, or a fine-tuned one:
            wrapped in ``{"model": …}``, with a ``module.`` prefix, without ``detector.``.
            Half precision and fp8 are converted to float32. With an adapter, it is merged.
        device: Where the model is to run.
        input_size: Side of its input in pixels, see :func:`~.zoo.resolve_input_size`. The
            same weights serve every size.
        precision: With ``bfloat16`` on a GPU, weights of matrix products are held in
            bfloat16. On a CPU they stay as the file has them, which costs no memory.

    Returns:
        The model in eval mode, its parameters frozen. A file that lacks a whole part gives a
        model without it, see :func:`supports_concepts`, :func:`supports_objects` and
        :func:`supports_video`.

    Raises:
        WeightFileError: If the file cannot be used; the subclass tells the reason.
        ValueError: If the model cannot run at that size.
    """
    device = torch.device(device)
    size = resolve_input_size(model_name, input_size)
    if isinstance(files, Path):
        files = WeightFiles(files)
    tensors = restore_scaled_weights(read_tensors(files.base), files.base)
    layout = recognize_layout(tensors, files.base)
    logger.info("the layout of %s is %s", files.base, layout.name)
    spec = get_model_spec(model_name)
    if spec.repo_id is not None and spec.has_multiplex != layout.has_multiplex:
        logger.warning(
            "model_name: %s was asked for, and %s is a file of SAM %s; it is used as what it is",
            model_name,
            files.base,
            "3.1" if layout.has_multiplex else "3",
        )
    architecture = dataclasses.replace(
        spec.architecture, image_size=size, **layout.architecture_changes
    )
    model = build_model_without_weights(architecture)
    state = convert_to_model_names(tensors, layout)
    if files.adapter is not None:
        state = merge_adapter(state, files.adapter)
    assign_weights(model, state, f"{files.base} (layout: {layout.name})", precision)
    if precision == "bfloat16" and device.type != "cpu":
        hold_in_bfloat16(model)
    if device.type == "cpu":
        prefault(model.state_dict().values())
    return model.requires_grad_(False).eval().to(device)


def supports_concepts(model: Sam3Image) -> bool:
    """Tells whether the model has the detector that texts and exemplars need."""
    return model.transformer is not None


def supports_objects(model: Sam3Image) -> bool:
    """Tells whether the model has the interactive part that points and boxes need."""
    return model.inst_interactive_predictor is not None


def supports_video(model: Sam3Image) -> bool:
    """Tells whether the model has the memory that tracking on videos needs."""
    predictor = model.inst_interactive_predictor
    if predictor is None:
        return False
    return model.multiplex is not None or predictor.model.maskmem_backbone is not None


def assign_weights(
    model: Sam3Image,
    state: Mapping[str, Tensor],
    source: str,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Makes the tensors of ``state`` the model's parameters, without copying them.

    If ``state`` lacks a whole part (the detector, the interactive part or the memory of
    videos), that part is removed from the model, and a message is logged.

    Args:
        model: From :func:`~..model.build.build_model_without_weights`.
        state: Tensors by the names of ``model.state_dict()``.
        source: Where they are from, for messages.
        precision: With ``bfloat16``, weights of matrix products that are bfloat16 in the file
            stay so; all others become float32.

    Raises:
        MissingKeysError: If a tensor of the model is not in the file.
        WrongShapesError: If one has another shape than the model's.
        UnexpectedKeysError: If the file holds a tensor that is not known to be unused.
    """
    unused = (*_UNUSED_ON_IMAGES, *_remove_missing_parts(model, state, source))
    needed = model.state_dict()
    optional = {
        name: torch.zeros(own.shape)
        for name, own in needed.items()
        if name not in state and name.startswith(_OPTIONAL)
    }
    state = {**state, **optional}
    _check_nothing_missing(needed, state, source)
    _check_shapes(needed, state, source)
    _check_nothing_unexpected([name for name in state if name not in needed], unused, source)
    kept = find_bfloat16_names(model) if precision == "bfloat16" else frozenset()
    taken = {
        name: state[name] if _stays_bfloat16(name, state[name], kept) else _to_float32(state[name])
        for name, own in needed.items()
        if name in state and (not is_derived(name) or _has_same_type(state[name], own))
    }
    model.load_state_dict(taken, strict=False, assign=True)
    finish_assignment(model)


def _remove_missing_parts(
    model: Sam3Image, state: Mapping[str, Tensor], source: str
) -> tuple[str, ...]:
    """Removes the parts of the model that a file lacks; returns prefixes that are unused then."""
    has_concepts, has_objects, has_memory, has_multiplex = (
        any(name.startswith(prefix) for name in state)
        for prefix in (DETECTOR, MASK_DECODER, MEMORY_ENCODER, MULTIPLEX)
    )
    unused: list[str] = []
    if not (has_objects and has_multiplex):
        # SAM 3.1's tracker needs the interactive part, too.
        model.multiplex = model.backbone.vision_backbone.propagation_convs = None
        unused += [_PROPAGATION_NECK, MULTIPLEX]
    if not has_objects:
        if has_concepts:
            logger.warning(
                "%s has no interactive part (tracker): concepts work, objects do not.", source
            )
        model.inst_interactive_predictor = None
        model.backbone.vision_backbone.sam2_convs = None
        return (*unused, _INTERACTIVE_NECK)
    if not has_memory:
        if model.multiplex is None:
            logger.info("%s has no memory for videos: images work, tracking does not.", source)
        for part in _MEMORY_PARTS:
            setattr(model.inst_interactive_predictor.model, part, None)
    if has_concepts:
        return tuple(unused)
    logger.warning("%s has no detector: objects work, concepts do not.", source)
    model.transformer = None
    model.geometry_encoder = None
    model.segmentation_head = None
    model.dot_prod_scoring = None
    model.backbone.language_backbone = None
    model.backbone.vision_backbone.convs = None
    return (*unused, _CONCEPT_NECK)


def prefault(tensors: Iterable[Tensor]) -> None:
    """Reads every page of memory-mapped CPU tensors, so that the first run is not slower."""
    for tensor in tensors:
        if tensor.is_contiguous():
            tensor.detach().view(-1).view(torch.uint8)[::_PAGE_BYTES].sum()


def _has_same_type(given: Tensor, own: Tensor) -> bool:
    # A checkpoint that was cast as a whole has lost the imaginary half of its tables.
    return given.shape == own.shape and given.dtype == own.dtype


def _stays_bfloat16(name: str, tensor: Tensor, kept: Collection[str]) -> bool:
    return name in kept and tensor.dtype == torch.bfloat16


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_nothing_missing(
    needed: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> None:
    missing = [name for name in needed if name not in state and not is_derived(name)]
    if missing:
        raise MissingKeysError(
            f"{source} lacks {len(missing)} of the {len(needed)} tensors that the model needs: "
            f"{_list_some(missing)}. It is not a complete checkpoint of this model, or model_name "
            "is not the one it was made for."
        )


def _check_shapes(needed: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    wrong = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(own.shape)}"
        for name, own in needed.items()
        if not is_derived(name) and state[name].shape != own.shape
    ]
    if wrong:
        raise WrongShapesError(
            f"{source} holds {len(wrong)} tensors of other shapes than the model's: "
            f"{_list_some(wrong)}. model_name is probably not the one the file was made for."
        )


def _check_nothing_unexpected(names: Iterable[str], unused: tuple[str, ...], source: str) -> None:
    unexpected = [name for name in names if not name.startswith(unused) and not is_derived(name)]
    if unexpected:
        raise UnexpectedKeysError(
            f"{source} holds {len(unexpected)} tensors that the model has no place for: "
            f"{_list_some(unexpected)}. It was made for another architecture than model_name's."
        )


def _list_some(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
