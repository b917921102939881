"""A file in the layout of SAM 3.1's, with the weights of the bundled model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights


def write_multiplex_file(folder: Path) -> Path:
    """Writes the file."""
    path = folder / "sam3.1_multiplex.safetensors"
    save_file(as_multiplex(read_tensors(find_weights("tiny_shapes"))), path)
    return path


def as_multiplex(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint in Meta's layout under the names of ``sam3.1_multiplex.pt``.

    As public loaders of that file read it: three necks of three levels, a click head of its
    own, and a video tracker of another architecture (here: some of its names).
    """
    renamed = {}
    for name, tensor in state.items():
        if "convs.3." in name:
            continue
        if "sam2_convs" in name:
            renamed[name.replace("sam2_convs", "interactive_convs")] = tensor
            renamed[name.replace("sam2_convs", "propagation_convs")] = tensor + 1
        elif name.startswith("detector."):
            renamed[name] = tensor
        elif name.startswith(("tracker.sam_prompt_encoder.", "tracker.sam_mask_decoder.")):
            part = name.removeprefix("tracker.")
            renamed[f"tracker.model.interactive_{part}"] = tensor
            renamed[f"tracker.model.{part}"] = torch.zeros(16, 3)
        elif name == "tracker.no_mem_embed":
            renamed["tracker.model.interactivity_no_mem_embed"] = tensor
        else:
            renamed[name.replace("tracker.", "tracker.model.")] = torch.zeros(16, 3)
    return renamed
