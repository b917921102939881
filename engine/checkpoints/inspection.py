"""Describes a weights file and what works with it; converts it to Meta's layout."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import torch

from ..model.sam3_imports import Sam3Image
from ..model.weight_precision import find_bfloat16_names
from .errors import WeightsError
from .layouts import find_parts, recognize_layout
from .loader import load_model, supports_concepts, supports_objects, supports_video
from .reader import list_shards, read_tensors
from .scaled_weights import refuse_other_quantizations
from .writer import save_weights
from .zoo import MODELS, WeightFiles

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclasses.dataclass(frozen=True)
class WeightsDescription:
    """Describes a weights file.

    Attributes:
        size_bytes: Of all its files.
        file_count: How many these are.
        layout: Name of its layout.
        tensor_counts: Number of tensors by data type.
        abilities: What will work, by the names and sizes of the tensors.
    """

    size_bytes: int
    file_count: int
    layout: str
    tensor_counts: dict[str, int]
    abilities: dict[str, bool]


def describe_weights(files: WeightFiles) -> WeightsDescription:
    """Describes a weights file without loading a model.

    Args:
        files: The files.

    Returns:
        Layout, size and data types.

    Raises:
        WeightsError: If they cannot be read, or are no SAM 3 weights.
    """
    tensors = read_tensors(files.base)
    layout = recognize_layout(tensors, files.base)
    parts = list_shards(files.base) or [files.base]
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
    refuse_other_quantizations(tensors, files.base)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    fitting = [find_parts(shapes, model.architecture.vit_width) for model in MODELS.values()]
    return WeightsDescription(
        sum(part.stat().st_size for part in parts),
        len(parts),
        layout.name,
        dict(dtypes),
        max(fitting, key=lambda parts: sum(parts.values())),
    )


def load_fitting(files: WeightFiles) -> tuple[str, Sam3Image]:
    """Loads the model that a file fits.

    Args:
        files: The files.

    Returns:
        The model's name, and the model on the CPU.

    Raises:
        WeightsError: If it fits none: the reason of the one that it is nearest to.
    """
    has_multiplex = recognize_layout(read_tensors(files.base), files.base).has_multiplex
    large = "sam3.1" if has_multiplex else "sam3"
    try:
        return "tiny_shapes", load_model("tiny_shapes", files, "cpu")  # which takes no time
    except WeightsError:
        return large, load_model(large, files, "cpu")


def list_abilities(model: Sam3Image) -> dict[str, bool]:
    """Lists what a model can do."""
    return {
        "concepts": supports_concepts(model),
        "objects": supports_objects(model),
        "video tracking": supports_video(model),
    }


def convert_weights(files: WeightFiles, model: Sam3Image, out: Path, dtype: str) -> None:
    """Writes a loaded model in Meta's layout.

    With ``bfloat16`` only weights of matrix products are rounded. On a CPU such a file is used
    as it is, memory-mapped, where ``precision`` is ``bfloat16``; results are those of the float32
    file.

    Args:
        files: What the model was loaded from.
        model: The model.
        out: The ``.safetensors`` file to write.
        dtype: Name of :data:`DTYPES`.

    Raises:
        ValueError: If the file's layout has sizes that Meta's layout does not have, or the
            output is one of the files that are read.
    """
    layout = recognize_layout(read_tensors(files.base), files.base)
    if layout.architecture_changes:
        raise ValueError(f"{layout.name} has no equal in Meta's layout; use the file as it is.")
    if out.resolve() in {part.resolve() for part in (files.base, *list_shards(files.base))}:
        raise ValueError(f"out: {out} is the file that is read; give another name.")
    names = find_bfloat16_names(model) if dtype == "bfloat16" else None
    save_weights(model.state_dict(), out, DTYPES[dtype], names)
