"""Reads the tensors of checkpoint files, without running any code that a file holds.

Files are memory-mapped: a tensor takes memory when it is first read. This module knows
file formats; :mod:`.layouts` knows the names of tensors.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    NotACheckpointError,
    TruncatedFileError,
    UnsafeCheckpointError,
    WeightFileNotFoundError,
)

if TYPE_CHECKING:
    from torch import Tensor

INDEX_FILE = "model.safetensors.index.json"
"""Name of the index of a sharded checkpoint, as ``transformers`` writes it."""

MARKERS = ("scaled_fp8",)
"""Names that stand for no tensor of a model: they tell that others are scaled."""

_WRAPPERS = ("model", "state_dict", "model_state_dict", "ema", "weights")
_WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "diffusion_model.", "sam3.")
LARGEST_HEADER = 100_000_000
"""Most bytes of a safetensors file's header."""

_OTHER_FORMATS = (
    (b"GGUF", "a GGUF file, whose quantized blocks PyTorch cannot use"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.pt`` or ``.safetensors`` file; the content tells which it is.

    Args:
        path: The file, or the index of a sharded checkpoint.

    Returns:
        Tensors by their names in the file, on the CPU, memory-mapped where the format
        allows it. Wrappers such as ``{"model": …}`` and prefixes such as ``module.`` are
        removed.

    Raises:
        WeightFileNotFoundError: If the file cannot be opened.
        TruncatedFileError: If it ends too early.
        NotACheckpointError: If it holds no weights.
        UnsafeCheckpointError: If reading it would run code.
    """
    shards = list_shards(path)
    if shards:
        return {name: tensor for shard in shards for name, tensor in read_tensors(shard).items()}
    tensors = _unwrap(path, _read(path))
    return dict(zip(strip_prefixes(tensors), tensors.values(), strict=True))


def strip_prefixes(names: Iterable[str]) -> list[str]:
    """Removes the prefixes that wrappers and image tools put before every name.

    Args:
        names: The names of a file's tensors, of which some may be scales or markers.

    Returns:
        The names in the same order.
    """
    stripped = list(names)
    while True:
        weights = [name for name in stripped if name not in MARKERS]
        prefix = next(
            (p for p in _WRAPPER_PREFIXES if all(name.startswith(p) for name in weights)), None
        )
        if prefix is None or not weights:
            return stripped
        stripped = [name.removeprefix(prefix) for name in stripped]


def list_shards(path: Path) -> list[Path]:
    """Lists the files that the index of a sharded checkpoint names.

    Args:
        path: The index, named ``….index.json``; any other file has no shards.

    Returns:
        The files, which lie beside the index.

    Raises:
        NotACheckpointError: If it has that name and is no index.
        WeightFileNotFoundError: If a file that it names is missing.
    """
    if not path.name.endswith(".index.json"):
        return []
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [path.parent / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotACheckpointError(
            f"{path} is not the index of a sharded checkpoint: it holds no weight_map."
        ) from error
    if any(shard.name.endswith(".index.json") for shard in shards):
        # It may name itself.
        raise NotACheckpointError(f"{path} names another index; it must name files of weights.")
    missing = [shard for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise WeightFileNotFoundError(
            f"{path} names {len(shards)} files, of which {len(missing)} are missing, first: "
            f"{missing[0].name if missing else 'none'}. Copy all of them into the index's folder."
        )
    return shards


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
    if is_safetensors(head):
        return _read_safetensors(path, head, size)
    if head.startswith(b"\x80"):
        return _load(path, mapped=False)
    if head.startswith(b"version https://git-lfs"):
        raise NotACheckpointError(
            f"{path} is a Git LFS pointer, not the weights themselves. Fetch the file with "
            "`git lfs pull`, or download it from its page."
        )
    for start, kind in _OTHER_FORMATS:
        if head.startswith(start):
            raise NotACheckpointError(
                f"{path} is {kind}. model_weight_file takes a .pt or .safetensors file with SAM 3 "
                "weights."
            )
    raise NotACheckpointError(
        f"{path} is not a checkpoint: it is neither a PyTorch nor a safetensors file. "
        "model_weight_file takes a .pt or .safetensors file with SAM 3 weights."
    )


def _read_torch_zip(path: Path) -> Any:
    try:
        is_whole = zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # raised, not answered, where the file says it has several parts
        is_whole = False
    if not is_whole:
        raise TruncatedFileError(_describe_truncated(path))
    return _load(path, mapped=True)


def _load(path: Path, mapped: bool) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text invites to switch the protection off.
        raise UnsafeCheckpointError(
            f"{path} was refused: it holds Python objects other than tensors and plain "
            "containers, and reading them could run code. No code was run. If the file "
            "is yours, write only its weights with torch.save(model.state_dict(), ...) or as "
            "safetensors and use that file."
        ) from error
    except EOFError as error:
        raise TruncatedFileError(_describe_truncated(path)) from error
    except MemoryError:
        raise
    except Exception as error:
        # The reader meets arbitrary bytes here and raises whatever they lead to.
        raise NotACheckpointError(
            f"{path} is not a PyTorch checkpoint, or it is damaged ({type(error).__name__}). "
            "Download or copy it again; model_weight_file takes a .pt or .safetensors file."
        ) from error


def is_safetensors(head: bytes) -> bool:
    """Tells whether a file starts as a safetensors file does."""
    if len(head) < 9:
        return False
    return struct.unpack("<Q", head[:8])[0] <= LARGEST_HEADER and head[8:9] == b"{"


def _read_safetensors(path: Path, head: bytes, size: int) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    (header_size,) = struct.unpack("<Q", head[:8])
    if size < 8 + header_size:
        raise TruncatedFileError(_describe_truncated(path))
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(header_size))
        ends = [entry["data_offsets"][1] for k, entry in header.items() if k != "__metadata__"]
        if ends and size < 8 + header_size + max(ends):
            raise TruncatedFileError(_describe_truncated(path))
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
    ) as error:
        if isinstance(error, TruncatedFileError):
            raise
        raise NotACheckpointError(
            f"{path} is not a safetensors checkpoint, or it is damaged "
            f"({type(error).__name__}). Download or copy it again."
        ) from error


def _describe_truncated(path: Path) -> str:
    return (
        f"The weights file {path} is truncated: it ends before its contents do, as after an "
        "interrupted download or a full disk. Download or copy it again."
    )


def _unwrap(path: Path, loaded: Any) -> dict[str, Tensor]:
    """Removes wrappers such as ``{"model": …}`` and returns the dict that holds tensors."""
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
        f"{path} is not a checkpoint: it holds no named tensors, also not under "
        f"{', '.join(_WRAPPERS[:2])}. Give a file written from model.state_dict()."
    )
