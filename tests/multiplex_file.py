"""A file in the layout of SAM 3.1's, with the weights of the bundled model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from infer_segment_anything_3.engine.checkpoints.reader import read_tensors
from infer_segment_anything_3.engine.checkpoints.zoo import find_weights
from infer_segment_anything_3.engine.model.config import TINY_SHAPES
from infer_segment_anything_3.engine.model.multiplex.tracker import MultiplexTracker


def write_multiplex_file(folder: Path, with_tracker: bool = False) -> Path:
    """Writes the file, with a tracker of random weights or without one."""
    path = folder / "sam3.1_multiplex.safetensors"
    state = as_multiplex(read_tensors(find_weights("tiny_shapes")))
    if with_tracker:
        state |= make_random_tracker()
    save_file(state, path)
    return path


def as_multiplex(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint in Meta's layout under the names of ``sam3.1_multiplex.pt``, for images.

    Three necks of three levels, and a click head of its own; without the video tracker, which
    is another architecture.
    """
    renamed = {}
    for name, tensor in state.items():
        if "convs.3." in name:
            continue
        if "sam2_convs" in name:
            renamed[name.replace("sam2_convs", "interactive_convs")] = tensor
            renamed[name.replace("sam2_convs", "propagation_convs")] = tensor + 0.01
        elif name.startswith("detector."):
            renamed[name] = tensor
        elif name.startswith(("tracker.sam_prompt_encoder.", "tracker.sam_mask_decoder.")):
            part = name.removeprefix("tracker.")
            renamed[f"tracker.model.interactive_{part}"] = tensor
        elif name == "tracker.no_mem_embed":
            renamed["tracker.model.interactivity_no_mem_embed"] = tensor
    return renamed


def make_random_tracker(seed: int = 0) -> dict[str, Tensor]:
    """The tracker's tensors by the names of the file; it is sure that each object is there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tracker = MultiplexTracker(dataclasses.replace(TINY_SHAPES, has_multiplex=True))
    with torch.no_grad():
        tracker.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(6.0)
    return {f"tracker.model.{name}": tensor for name, tensor in tracker.state_dict().items()}
