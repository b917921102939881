"""Tells what a weights file is and whether it will work; converts it to Meta's layout.

    make weights FILE=model.safetensors
    make weights FILE="sam3.pt + adapter_folder" TO=bfloat16 OUT=sam3_bfloat16.safetensors

With ``TO=bfloat16`` only weights of matrix products are rounded. On a CPU such a file is used
as it is, memory-mapped, where ``precision`` is ``bfloat16``; results are those of the float32
file.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from ..engine.checkpoints.errors import WeightsError
from ..engine.checkpoints.layouts import recognize_layout
from ..engine.checkpoints.loader import (
    load_model,
    supports_concepts,
    supports_objects,
    supports_video,
)
from ..engine.checkpoints.reader import list_shards, read_tensors
from ..engine.checkpoints.writer import save_weights
from ..engine.checkpoints.zoo import MODELS, WeightFiles, find_weight_files
from ..engine.model.sam3_imports import Sam3Image
from ..engine.model.weight_precision import find_bfloat16_names

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0 if the file works with some model."""
    parser = argparse.ArgumentParser(prog="make weights", description=__doc__)
    parser.add_argument("file", help="a checkpoint, or 'checkpoint + adapter_folder'")
    parser.add_argument("--to", choices=DTYPES, help="write it in this data type")
    parser.add_argument("--out", type=Path, help="the .safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        files = find_weight_files("sam3", options.file)
        describe(files)
        name, model = load_fitting(files)
        print(f"works as model_name {name}: {describe_support(model)}")
        if options.to or options.out:
            dtype = options.to or "float32"
            out = options.out or files.base.with_name(f"{files.base.stem}_{dtype}.safetensors")
            convert(files, model, out, dtype)
            print(f"wrote {out}, {out.stat().st_size / 1e9:.2f} GB")
    except (WeightsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def describe(files: WeightFiles) -> None:
    """Prints the layout, the size and the data types of a file."""
    tensors = read_tensors(files.base)
    layout = recognize_layout(tensors, files.base)
    parts = list_shards(files.base) or [files.base]
    size = sum(part.stat().st_size for part in parts)
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
    print(f"{files}: {size / 1e9:.2f} GB in {len(parts)} file(s)")
    print(f"layout: {layout.name}")
    print("tensors: " + ", ".join(f"{count} {dtype}" for dtype, count in dtypes.most_common()))


def load_fitting(files: WeightFiles) -> tuple[str, Sam3Image]:
    """Loads the model that a file fits.

    Raises:
        WeightsError: If it fits none: the reason of the one that it is nearest to.
    """
    reasons: dict[str, WeightsError] = {}
    for name in reversed(MODELS):  # the small one first, which takes no time
        try:
            return name, load_model(name, files, "cpu")
        except WeightsError as error:
            reasons[name] = error
    raise reasons["sam3"]


def describe_support(model: Sam3Image) -> str:
    """Lists what a model can do."""
    kinds = {
        "concepts": supports_concepts(model),
        "objects": supports_objects(model),
        "video tracking": supports_video(model),
    }
    return ", ".join(f"{kind} {'yes' if has else 'no'}" for kind, has in kinds.items())


def convert(files: WeightFiles, model: Sam3Image, out: Path, dtype: str) -> None:
    """Writes a loaded model in Meta's layout.

    Raises:
        ValueError: If the file's layout has sizes that Meta's layout does not have, or the
            output is one of the files that are read.
    """
    layout = recognize_layout(read_tensors(files.base), files.base)
    if layout.architecture_changes:
        raise ValueError(f"{layout.name} has no equal in Meta's layout; use the file as it is.")
    if out.resolve() in {part.resolve() for part in (files.base, *list_shards(files.base))}:
        raise ValueError(f"OUT: {out} is the file that is read; give another name.")
    names = find_bfloat16_names(model) if dtype == "bfloat16" else None
    save_weights(model.state_dict(), out, DTYPES[dtype], names)


if __name__ == "__main__":
    sys.exit(main())
