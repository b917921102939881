"""Runs the tracker on frames of footage as the package's predictor does, with gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...engine.model.sam3_imports import Sam3Image, Sam3TrackerBase
from ...engine.model.video_tracker import ENDLESS
from .footage import Footage
from .frozen_encoder import compute_coarse_map

FIRST_PROMPTS = ("mask", "mask", "click", "box")
"""How shapes are given on the first frame, one of these at random."""

TrackerMemory = dict[str, dict[int, dict[str, Any]]]


def make_empty_memory() -> TrackerMemory:
    """Makes an empty memory of the tracker."""
    return {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}


class FrameFeatures:
    """Computes the coarsest map of frames of footage, and keeps it.

    Attributes:
        coarse: By frame, the map that memory attention reads and that is remembered,
            (C, h, w).
    """

    def __init__(self, model: Sam3Image, footage: Footage, frames: Sequence[int]) -> None:
        """Computes the maps.

        Args:
            model: The model.
            footage: The frames.
            frames: Indices of the frames that are remembered or decoded.
        """
        maps = compute_coarse_map(model, footage.trunk[list(frames)])
        self.coarse = dict(zip(frames, maps, strict=True))
        position = model.backbone.vision_backbone.position_encoding(maps[:1])
        self._position = position.flatten(2).permute(2, 0, 1)
        self._footage = footage

    def arrange(self, frame: int, count: int) -> dict[str, Any]:
        """Arranges the features of a decoded frame as arguments of ``track_step``.

        Args:
            frame: Index of the frame.
            count: K, objects on it.

        Returns:
            Features (h w, K, C) from the finest on, encoded positions, and sizes.
        """
        footage = self._footage
        levels = footage.fine[frame].float(), footage.middle[frame].float(), self.coarse[frame]
        maps = [level.expand(count, -1, -1, -1) for level in levels]
        return {
            "current_vision_feats": [m.flatten(2).permute(2, 0, 1) for m in maps],
            "current_vision_pos_embeds": [self._position.expand(-1, count, -1)],
            "feat_sizes": [(m.shape[-2], m.shape[-1]) for m in maps],
        }


def run_tracker(
    tracker: Sam3TrackerBase,
    features: FrameFeatures,
    frame: int,
    count: int,
    memory: TrackerMemory,
    prompt: dict[str, Any] | None = None,
    remembered: bool = True,
) -> dict[str, Any]:
    """Runs the tracker on a frame.

    Args:
        tracker: The tracker.
        features: Features of the frame.
        frame: Index of the frame.
        count: K, objects.
        memory: What it remembers of frames before.
        prompt: What is given on the frame; None follows the objects.
        remembered: Whether to encode what it finds, for later frames.

    Returns:
        What ``track_step`` returns.
    """
    out: dict[str, Any] = tracker.track_step(
        frame_idx=frame,
        is_init_cond_frame=prompt is not None,
        image=None,
        **{"mask_inputs": None, "point_inputs": None, **(prompt or {})},
        **features.arrange(frame, count),
        output_dict=memory,
        num_frames=ENDLESS,
        run_mem_encoder=remembered,
    )
    return out


def make_first_prompt(
    rng: np.random.Generator, tracker: Sam3TrackerBase, coverage: Tensor, form: str
) -> dict[str, Any]:
    """Makes the prompt of ``track_step`` on the first frame.

    Args:
        rng: Source of every random choice.
        tracker: The tracker.
        coverage: Of the shapes on the first frame, (K, M, M).
        form: One of :data:`FIRST_PROMPTS`.

    Returns:
        ``mask_inputs`` or ``point_inputs``.
    """
    coverage = coverage.float()
    if form == "mask":
        size = (tracker.input_mask_size,) * 2
        return {"mask_inputs": F.interpolate(coverage[:, None], size, mode="bilinear") > 0.5}
    cell_px = tracker.image_size / coverage.shape[-1]
    coords = []
    for covered in (coverage > 0.5).cpu().numpy():
        ys, xs = np.nonzero(covered if covered.any() else ~covered)
        if form == "click":
            k = int(rng.integers(len(ys)))
            coords.append([[xs[k] + 0.5, ys[k] + 0.5]])
        else:
            box = np.array([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]])
            coords.append((box + rng.normal(0, 0.03, (2, 2)) * np.ptp(box, axis=0)).tolist())
    device = coverage.device
    labels = torch.tensor([1] if form == "click" else [2, 3], dtype=torch.int32, device=device)
    points = torch.tensor(np.array(coords), dtype=torch.float32, device=device) * cell_px
    return {
        "point_inputs": {"point_coords": points, "point_labels": labels.expand(len(coords), -1)}
    }


class Decoded:
    """Holds what the tracker computed on its way to a mask.

    Attributes:
        fused: The map that memory attention gave to the mask decoder, (K, C, h, w).
        logits: (K, 4, M, M), before masks of absent objects are emptied.
        quality: Predicted IoU of each, (K, 4).
        scores: Object scores, (K, 1).
    """

    fused: Tensor
    logits: Tensor
    quality: Tensor
    scores: Tensor


@contextmanager
def record_decoding(tracker: Sam3TrackerBase) -> Iterator[Decoded]:
    """Records the input and the output of the mask decoder's latest call, while entered."""
    decoder = tracker.sam_mask_decoder
    decoded = Decoded()
    predict = decoder.predict_masks

    def predict_and_record(image_embeddings: Tensor, **arguments: Any) -> Any:
        answer = predict(image_embeddings=image_embeddings, **arguments)
        decoded.fused = image_embeddings
        decoded.logits, decoded.quality = answer[0].float(), answer[1].float()
        decoded.scores = answer[3].float()
        return answer

    decoder.predict_masks = predict_and_record
    try:
        yield decoded
    finally:
        del decoder.predict_masks
