"""Reads checkpoint files as people have them, without running anything they hold.

Files are mapped, not copied: a tensor takes memory when it is first read, and only the
tensors that are used are read. Nothing here knows a model; :mod:`.checkpoints` does.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    NotACheckpointError,
    OtherModelError,
    TruncatedFileError,
    UnsafeCheckpointError,
    WeightFileNotFoundError,
)

if TYPE_CHECKING:
    from torch import Tensor

PREDICTOR = "inst_interactive_predictor."
"""Prefix of the interactive part in the names of ``Sam3Image.state_dict()``."""

_TRACKER = PREDICTOR + "model."
_WRAPPERS = ("model", "state_dict", "model_state_dict", "ema", "weights")
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
_LARGEST_HEADER = 100_000_000

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


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads the weights of a ``.pt`` or ``.safetensors`` file, told apart by content.

    Args:
        path: The file.

    Returns:
        Tensors on the CPU, mapped where the format allows it, by the names that
        ``Sam3Image.state_dict()`` gives them.

    Raises:
        WeightFileNotFoundError: If the file cannot be opened.
        TruncatedFileError: If it ends too early.
        NotACheckpointError: If it holds no weights.
        UnsafeCheckpointError: If reading it would run code.
        OtherModelError: If it holds the weights of another model of the family.
    """
    tensors = _tensors_within(path, _read(path))
    for prefix in _WRAPPER_PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    _refuse_other_models(path, tensors)
    return {_model_name(name): tensor for name, tensor in tensors.items()}


def file_name(model_name: str) -> str:
    """The name that Meta's checkpoint gives to a weight of ``Sam3Image.state_dict()``."""
    if model_name.startswith(_TRACKER):
        return "tracker." + model_name.removeprefix(_TRACKER)
    return "detector." + model_name


def _model_name(name: str) -> str:
    if name.startswith("tracker."):
        return _TRACKER + name.removeprefix("tracker.")
    return name.removeprefix("detector.")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(64)
            size = file.seek(0, 2)
    except OSError as error:
        raise WeightFileNotFoundError(
            f"The weights file {path} cannot be opened ({error.strerror}). Check the path and "
            "its permissions."
        ) from error
    if size == 0:
        raise TruncatedFileError(f"The weights file {path} is empty. Download or copy it again.")
    if head.startswith(b"PK\x03\x04"):
        return _read_torch_zip(path)
    if _is_safetensors(head):
        return _read_safetensors(path, head, size)
    if head.startswith(b"\x80"):
        return _load(path, mapped=False)
    if head.startswith(b"version https://git-lfs"):
        raise NotACheckpointError(
            f"{path} is a Git LFS pointer, not the weights themselves. Fetch the file with "
            "`git lfs pull`, or download it from its page."
        )
    raise NotACheckpointError(
        f"{path} is not a checkpoint: it is neither a PyTorch nor a safetensors file. "
        "model_weight_file takes a .pt or .safetensors file with SAM 3 weights."
    )


def _read_torch_zip(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise TruncatedFileError(_truncated(path))
    return _load(path, mapped=True)


def _load(path: Path, mapped: bool) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text invites to switch the protection off.
        raise UnsafeCheckpointError(
            f"{path} was refused: it holds Python objects other than tensors and plain "
            "containers, and reading them could run code. Nothing of it was run. If the file "
            "is yours, write only its weights with torch.save(model.state_dict(), ...) or as "
            "safetensors and use that file."
        ) from error
    except EOFError as error:
        raise TruncatedFileError(_truncated(path)) from error
    except MemoryError:
        raise
    except Exception as error:
        # The reader meets arbitrary bytes here and raises whatever they lead to.
        raise NotACheckpointError(
            f"{path} is not a PyTorch checkpoint, or it is damaged ({type(error).__name__}). "
            "Download or copy it again; model_weight_file takes a .pt or .safetensors file."
        ) from error


def _is_safetensors(head: bytes) -> bool:
    if len(head) < 9:
        return False
    return struct.unpack("<Q", head[:8])[0] <= _LARGEST_HEADER and head[8:9] == b"{"


def _read_safetensors(path: Path, head: bytes, size: int) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    (header_size,) = struct.unpack("<Q", head[:8])
    if size < 8 + header_size:
        raise TruncatedFileError(_truncated(path))
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(header_size))
        ends = [entry["data_offsets"][1] for k, entry in header.items() if k != "__metadata__"]
        if ends and size < 8 + header_size + max(ends):
            raise TruncatedFileError(_truncated(path))
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, TruncatedFileError):
            raise
        raise NotACheckpointError(
            f"{path} is not a safetensors checkpoint, or it is damaged "
            f"({type(error).__name__}). Download or copy it again."
        ) from error


def _truncated(path: Path) -> str:
    return (
        f"The weights file {path} is truncated: it ends before its contents do, as after an "
        "interrupted download or a full disk. Download or copy it again."
    )


def _tensors_within(path: Path, loaded: Any) -> dict[str, Tensor]:
    """Unwraps ``{"model": …}`` and the like, down to a dict that holds tensors."""
    import torch

    for _ in range(3):
        if not isinstance(loaded, dict):
            break
        tensors = {
            name: value
            for name, value in loaded.items()
            if isinstance(name, str) and isinstance(value, torch.Tensor)
        }
        inner = [loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), dict)]
        if tensors and not inner:
            return tensors
        loaded = inner[0] if inner else None
    raise NotACheckpointError(
        f"{path} is not a checkpoint: it holds no weights by name, also not under "
        f"{', '.join(_WRAPPERS[:2])}. Give a file written from model.state_dict()."
    )


def _refuse_other_models(path: Path, tensors: dict[str, Tensor]) -> None:
    for model, marks, advice in _OTHER_MODELS:
        for mark in marks:
            inside = mark.startswith(".")
            if any(mark in name if inside else name.startswith(mark) for name in tensors):
                raise OtherModelError(f"{path} holds the weights of {model}, not SAM 3. {advice}")
