"""Loads a checkpoint into a model, strictly.

The package's own loader ignores missing and unexpected keys, so that another model's file
loads and runs on random weights. Here every tensor of the model must be in the file with
its shape, and every other tensor of the file must be known to be unused on images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..model.build import build_model_without_weights, finish_assignment
from .errors import MissingKeysError, UnexpectedKeysError, WrongShapesError
from .layouts import PREDICTOR, convert_to_model_names, is_derived
from .reader import read_tensors
from .zoo import get_model_spec

if TYPE_CHECKING:
    from ..model.sam3_imports import Sam3Image

logger = logging.getLogger("infer_segment_anything_3")

_INTERACTIVE_NECK = "backbone.vision_backbone.sam2_convs."
_UNUSED_ON_IMAGES = (PREDICTOR + "model.backbone.", "transformer.decoder.instance_")
"""Tensors of some checkpoints that the image model does not use."""

_PAGE_BYTES = 4096


def load_model(model_name: str, path: Path, device: torch.device | str) -> Sam3Image:
    """Builds a model and loads the weights of a file into it.

    The file is memory-mapped and its tensors become the model's parameters without a copy:
    the model takes no more memory than the file. Do not write into a file that is in use;
    replace it by renaming another file to its name.

    Args:
        model_name: A key of :data:`~.zoo.MODELS`.
        path: A checkpoint in Meta's layout (``detector.*``, ``tracker.*``) or a fine-tuned
            one: wrapped in ``{"model": …}``, with a ``module.`` prefix, without
            ``detector.``. Half precision is converted to float32.
        device: Where the model is to run.

    Returns:
        The model in eval mode, its parameters frozen. A file without the interactive part
        gives a model without it, see :func:`supports_objects`.

    Raises:
        WeightFileError: If the file cannot be used; the subclass tells the reason.
    """
    device = torch.device(device)
    state = convert_to_model_names(read_tensors(path), path)
    model = build_model_without_weights(get_model_spec(model_name).architecture)
    assign_weights(model, state, path)
    if device.type == "cpu":
        prefault(model.state_dict().values())
    return model.requires_grad_(False).eval().to(device)


def supports_objects(model: Sam3Image) -> bool:
    """Tells whether the model has the interactive part that points and boxes need."""
    return model.inst_interactive_predictor is not None


def assign_weights(model: Sam3Image, state: Mapping[str, Tensor], path: Path) -> None:
    """Makes the tensors of ``state`` the model's parameters, without copying them.

    If ``state`` lacks the interactive part, it is removed from the model, with a warning.

    Args:
        model: From :func:`~..model.build.build_model_without_weights`.
        state: Tensors by the names of ``model.state_dict()``.
        path: The file, for messages.

    Raises:
        MissingKeysError: If a tensor of the model is not in the file.
        WrongShapesError: If one has another shape than the model's.
        UnexpectedKeysError: If the file holds a tensor that is not known to be unused.
    """
    unused: tuple[str, ...] = _UNUSED_ON_IMAGES
    if not any(name.startswith(PREDICTOR) for name in state):
        logger.warning("%s has no interactive part (tracker): concepts work, objects do not.", path)
        model.inst_interactive_predictor = None
        model.backbone.vision_backbone.sam2_convs = None
        unused = (*unused, _INTERACTIVE_NECK)
    needed = model.state_dict()
    _check_nothing_missing(needed, state, path)
    _check_shapes(needed, state, path)
    _check_nothing_unexpected([name for name in state if name not in needed], unused, path)
    taken = {
        name: _to_float32(state[name])
        for name, own in needed.items()
        if name in state and (not is_derived(name) or _has_same_type(state[name], own))
    }
    model.load_state_dict(taken, strict=False, assign=True)
    finish_assignment(model)


def prefault(tensors: Iterable[Tensor]) -> None:
    """Reads every page of memory-mapped CPU tensors, so that the first run need not wait."""
    for tensor in tensors:
        if tensor.is_contiguous():
            tensor.detach().view(-1).view(torch.uint8)[::_PAGE_BYTES].sum()


def _has_same_type(given: Tensor, own: Tensor) -> bool:
    # A checkpoint that was cast as a whole has lost the imaginary half of its tables.
    return given.shape == own.shape and given.dtype == own.dtype


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_nothing_missing(
    needed: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path
) -> None:
    missing = [name for name in needed if name not in state and not is_derived(name)]
    if missing:
        raise MissingKeysError(
            f"{path} lacks {len(missing)} of the {len(needed)} tensors that the model needs: "
            f"{_list_some(missing)}. It is not a complete checkpoint of this model, or model_name "
            "is not the one it was made for."
        )


def _check_shapes(needed: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    wrong = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(own.shape)}"
        for name, own in needed.items()
        if not is_derived(name) and state[name].shape != own.shape
    ]
    if wrong:
        raise WrongShapesError(
            f"{path} holds {len(wrong)} tensors of other shapes than the model's: "
            f"{_list_some(wrong)}. model_name is probably not the one the file was made for."
        )


def _check_nothing_unexpected(names: Iterable[str], unused: tuple[str, ...], path: Path) -> None:
    unexpected = [name for name in names if not name.startswith(unused) and not is_derived(name)]
    if unexpected:
        raise UnexpectedKeysError(
            f"{path} holds {len(unexpected)} tensors that the model has no place for: "
            f"{_list_some(unexpected)}. It was made for another architecture than model_name's."
        )


def _list_some(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
