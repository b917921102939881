"""Gives a model built without weights the tensors of a checkpoint, strictly; and writes them.

The package's own loader ignores keys that are missing or left over, so that another
model's file loads and runs on random weights. Here every tensor the model needs must be
there, in its shape, and what is left over must be known to be unused on images.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..model.build import finish_assigned
from .errors import MissingKeysError, UnexpectedKeysError, WrongShapesError
from .reader import PREDICTOR, file_name

if TYPE_CHECKING:
    from ..model.sam3_imports import Sam3Image

logger = logging.getLogger("infer_segment_anything_3")

_INTERACTIVE_NECK = "backbone.vision_backbone.sam2_convs."
_UNUSED_ON_IMAGES = (PREDICTOR + "model.backbone.", "transformer.decoder.instance_")
"""What some checkpoints hold and the image model has no part for."""

_PAGE_BYTES = 4096


def assign_weights(model: Sam3Image, state: Mapping[str, Tensor], path: Path) -> None:
    """Makes the tensors of ``state`` the model's parameters, without copying them.

    Without the interactive part in ``state`` the model loses its own, with a warning.

    Args:
        model: From :func:`~.architecture.build_model_without_weights`.
        state: Tensors by the names of ``model.state_dict()``.
        path: Where they are from, for messages.

    Raises:
        MissingKeysError: If a tensor that the model needs is not there.
        WrongShapesError: If one has another shape than the model's.
        UnexpectedKeysError: If something is left over that is not known to be unused.
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
    _check_leftovers([name for name in state if name not in needed], unused, path)
    taken = {
        name: _widened(state[name])
        for name, own in needed.items()
        if name in state and (not _is_derived(name) or _same_kind(state[name], own))
    }
    model.load_state_dict(taken, strict=False, assign=True)
    finish_assigned(model)


def page_in(tensors: Iterable[Tensor]) -> None:
    """Touches every page of mapped CPU tensors, so that the first run does not wait for them."""
    for tensor in tensors:
        if tensor.is_contiguous():
            tensor.detach().view(-1).view(torch.uint8)[::_PAGE_BYTES].sum()


def save_weights(
    state: Mapping[str, Tensor], path: Path, dtype: torch.dtype = torch.float16
) -> None:
    """Writes weights as safetensors in the layout of Meta's checkpoint.

    The rotary tables are left out: they follow from the architecture.

    Args:
        state: A ``Sam3Image.state_dict()``.
        path: The file to write; it appears when it is complete.
        dtype: What floating-point weights are stored in.

    Raises:
        ValueError: If a weight is not finite in ``dtype``.
    """
    from safetensors.torch import save_file

    stored = {}
    for name, tensor in state.items():
        if _is_derived(name):
            continue
        kept = tensor.detach().cpu()
        if kept.is_floating_point():
            kept = kept.to(dtype)
            if not torch.isfinite(kept).all():
                raise ValueError(f"{name} is not finite as {dtype}.")
        stored[file_name(name)] = kept.contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        save_file(stored, unfinished, metadata={"format": "pt"})
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _is_derived(name: str) -> bool:
    """Whether the constructor computes this tensor, so that a file need not hold it."""
    return ".attn.freqs_cis" in name


def _same_kind(given: Tensor, own: Tensor) -> bool:
    # A checkpoint that was cast as a whole has lost the imaginary half of its tables.
    return given.shape == own.shape and given.dtype == own.dtype


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_nothing_missing(
    needed: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path
) -> None:
    missing = [name for name in needed if name not in state and not _is_derived(name)]
    if missing:
        raise MissingKeysError(
            f"{path} lacks {len(missing)} of the {len(needed)} tensors that the model needs: "
            f"{_some(missing)}. It is not a complete checkpoint of this model, or model_name "
            "is not the one it was made for."
        )


def _check_shapes(needed: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    wrong = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(own.shape)}"
        for name, own in needed.items()
        if not _is_derived(name) and state[name].shape != own.shape
    ]
    if wrong:
        raise WrongShapesError(
            f"{path} holds {len(wrong)} tensors of other shapes than the model's: "
            f"{_some(wrong)}. model_name is probably not the one the file was made for."
        )


def _check_leftovers(names: Iterable[str], unused: tuple[str, ...], path: Path) -> None:
    unexpected = [name for name in names if not name.startswith(unused) and not _is_derived(name)]
    if unexpected:
        raise UnexpectedKeysError(
            f"{path} holds {len(unexpected)} tensors that the model has no place for: "
            f"{_some(unexpected)}. It was made for another architecture than model_name's."
        )


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
