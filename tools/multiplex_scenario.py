"""A small random tracker of SAM 3.1's architecture, and 12 frames to follow 20 objects through.

Everything is drawn by NumPy, whose random numbers are the same on every machine, so that the
results of another port can be stored, see :mod:`.multiplex_reference`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..engine.model.config import TINY_SHAPES
from ..engine.model.multiplex.tracker import MultiplexTracker
from ..engine.model.tracker import build_tracker
from ..engine.model.video_tracker import VideoTracker

ARCHITECTURE = dataclasses.replace(
    TINY_SHAPES, image_size=56, mask_decoder_heads=8, iou_uses_sigmoid=False, has_multiplex=True
)
"""56 pixels, 4 x 4 patches; the other port has 8 attention heads everywhere."""

FRAMES = 12
STARTED, BORN = 18, 2
"""Objects of frame 0, in two buckets, and of a later one, which enter the second bucket."""

BIRTH_FRAME = 4
REMOVALS = {6: (0, 5), 9: (16, 17, 18, 19)}
"""Objects that are removed after a frame: two of the first bucket; all of the second."""

CLICKS_XY = ((20.0, 18.0), (40.0, 12.0), (30.0, 44.0))
"""Points that start one object each, in pixels of the model's input, in a second run."""

_INTERACTIVE_NAMES = {
    "sam_prompt_encoder.": "interactive_sam_prompt_encoder.",
    "sam_mask_decoder.": "interactive_sam_mask_decoder.",
    "no_mem_embed": "interactivity_no_mem_embed",
}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Holds the tracker, the frames and the prompts.

    Attributes:
        heads: The interactive heads.
        tracker: The tracker.
        weights: The weights of both by the names of Meta's file, without ``tracker.model.``.
        interactive: Of each frame three maps, (1, C, 4n, 4n), (1, C, 2n, 2n) and (1, C, n, n).
        propagation: The same of the propagation stack.
        masks: (18, 16n, 16n) bool, the masks of the first objects.
        born: (2, 16n, 16n) bool, those of the later ones.
    """

    heads: VideoTracker
    tracker: MultiplexTracker
    weights: dict[str, Tensor]
    interactive: list[list[Tensor]]
    propagation: list[list[Tensor]]
    masks: Tensor
    born: Tensor


def make_scenario() -> Scenario:
    """Draws the scenario."""
    rng = np.random.default_rng(31)
    heads, tracker = build_tracker(ARCHITECTURE).eval(), MultiplexTracker(ARCHITECTURE).eval()
    weights = dict(tracker.state_dict())
    for name, tensor in heads.state_dict().items():
        for own, theirs in _INTERACTIVE_NAMES.items():
            if name.startswith(own):
                weights[theirs + name.removeprefix(own)] = tensor
    with torch.no_grad():
        for name, tensor in sorted(weights.items()):
            _fill(name, tensor, rng)
    return Scenario(
        heads,
        tracker,
        weights,
        [_draw_maps(rng) for _ in range(FRAMES)],
        [_draw_maps(rng) for _ in range(FRAMES)],
        _draw_masks(STARTED, rng),
        _draw_masks(BORN, rng),
    )


def _fill(name: str, tensor: Tensor, rng: np.random.Generator) -> None:
    """Draws a tensor of weights, so that a fifth of the objects is not visible."""
    values = rng.standard_normal(tuple(tensor.shape))
    fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
    if name.endswith("norm.weight") or ("norm" in name and name.endswith("weight")):
        values = 1 + 0.1 * values
    elif tensor.ndim == 1:
        values *= 0.1
    elif "gaussian_matrix" not in name:
        values *= fan_in**-0.5
    if name.endswith("pred_obj_score_head.layers.2.bias"):
        values -= 0.7
    tensor.copy_(torch.from_numpy(values.astype(np.float32)))


def _draw_maps(rng: np.random.Generator) -> list[Tensor]:
    n, width = ARCHITECTURE.patches_per_side, ARCHITECTURE.width
    return [
        torch.from_numpy(rng.standard_normal((1, width, n * k, n * k)).astype(np.float32))
        for k in (4, 2, 1)
    ]


def _draw_masks(count: int, rng: np.random.Generator) -> Tensor:
    side = 16 * ARCHITECTURE.patches_per_side
    masks = torch.zeros(count, side, side, dtype=torch.bool)
    for mask in masks:
        left, top = rng.integers(0, side - 24, 2)
        width, height = rng.integers(10, 24, 2)
        mask[top : top + height, left : left + width] = True
    return masks
